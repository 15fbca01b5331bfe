"""Mapper and head as one linear layer, where that is what they are.

Legend: D features, K numbers that the head gives.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.exporting.whole import Ending, Trial
from raytl.models.branch import Branch
from raytl.models.mappers import Linear
from raytl.models.source_folder import CompleteModel
from raytl.rows import Given, Rows
from raytl.tasks.forecasting import Forecasting
from raytl.tasks.regression import Regression

OTHERS = "--to torch and --to onnx take any model of numbers and maps"


@dataclass(frozen=True)
class LinearModel:
    """One branch, and W f + b of its features f: W (K, D), b (K,), float32. Values are in the
    target's unit."""

    column: str
    branch: Branch
    weight: Tensor
    bias: Tensor
    labels: tuple[str, ...]  # of the K numbers


@torch.no_grad()
def linear_model(complete: CompleteModel, to: str) -> LinearModel:
    """Return a complete model as a linear layer on the features of one branch, in eval mode: a
    linear mapper, its batch norm and the scale of values are folded into it, and a matrix, which
    leaves the target's rows alone, is left out.

    Raises ModelError that names what is not linear, for the format `to`.
    """
    task, spec = complete.task, complete.spec
    assert spec.mapper is not None and spec.head is not None
    law = f"--to {to} needs a linear head on the pooled features of one column, but"
    if len(spec.parts) > 1:
        raise ModelError(f"{law} this model reads {', '.join(spec.parts)}; {OTHERS}")
    if task.name not in ("classification", "regression", "forecasting"):
        raise ModelError(f"{law} a {task.name} reads maps or tokens; {OTHERS}")
    head = complete.model.head
    if spec.head.name != "linear" or not isinstance(head, nn.Sequential):
        raise ModelError(f"{law} this model's head is {spec.head.name}; {OTHERS}")
    if spec.mapper.name not in ("identity", "matrix", "linear"):
        raise ModelError(f"{law} this model's mapper is {spec.mapper.name}; {OTHERS}")
    weight_KD, bias_K = _of_layer(head[-1])
    if isinstance(complete.model.mapper, Linear):
        mapped_DD, shift_D = _of_mapper(complete.model.mapper)
        weight_KD, bias_K = weight_KD @ mapped_DD, weight_KD @ shift_D + bias_K
    if isinstance(task, Regression | Forecasting):
        weight_KD, bias_K = task.std * weight_KD, task.std * bias_K + task.mean
    ((column, branch),) = complete.model.named_branches.items()
    labels = spec.classes or tuple(f"step_{i}" for i in range(task.out_dim))
    labels = ("value",) if isinstance(task, Regression) else labels
    return LinearModel(column, branch.eval(), weight_KD.float(), bias_K.float(), labels)


def _of_layer(layer: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, nn.Linear)
    return layer.weight.double(), layer.bias.double()


def _of_mapper(mapper: Linear) -> tuple[Tensor, Tensor]:
    """Return the mapper with its batch norm, as it is in eval mode."""
    weight, bias = _of_layer(mapper.linear)
    norm = mapper.norm
    if not isinstance(norm, nn.BatchNorm1d):
        return weight, bias
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shifted = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    return weight * scale.unsqueeze(1), shifted


@torch.inference_mode()
def wanted_of(complete: CompleteModel, x: Rows) -> Tensor:
    """Return what raytl's model gives for transformed rows of its one column, values in the
    target's unit."""
    (column,) = complete.model.columns
    out = complete.model.eval()({column: Given(x, transformed=True)}).out
    found = Ending(complete.task)(out)
    return found.unsqueeze(1) if found.dim() == 1 else found


def trial_of(complete: CompleteModel, x: Rows, tensors: tuple[Tensor, ...] = ()) -> Trial:
    """Return transformed rows, as a network is given them in `tensors`, and `wanted_of` them."""
    return Trial.of(complete.task, tensors, wanted_of(complete, x))
