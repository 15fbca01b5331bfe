"""Layers that no program can be traced through, replaced by others that compute the same in eval
mode.

Legend: B rows, S steps of the longest row, C channels.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.errors import ModelError
from raytl.modalities.series.inception import InceptionModule, MaskedBatchNorm, Own
from raytl.modalities.series.rnn import RecurrentLayer
from raytl.modalities.text.bilstm import LstmLayer

# What is not replaced but refused, and what it is called
RECURRENT: Mapping[type[nn.Module], str] = {RecurrentLayer: "lstm and gru", LstmLayer: "bilstm"}


class SteadyNorm(nn.Module):
    """`MaskedBatchNorm` with fixed statistics: they need not be told which steps are rows' own."""

    def __init__(self, masked: MaskedBatchNorm) -> None:
        super().__init__()
        self.norm = masked.norm

    def forward(self, x_BCS: Tensor, own: Own) -> Tensor:
        """(B, C, S) → (B, C, S), zeros where a step is no row's own."""
        return self.norm(x_BCS).masked_fill(own.hidden_B1S, 0.0)


class Neighbours(nn.Module):
    """The greatest of three neighbours, (B, C, S) → (B, C, S), as max pooling has it."""

    def forward(self, x_BCS: Tensor) -> Tensor:
        padded = F.pad(x_BCS, (1, 1), value=-torch.inf)
        return padded.unfold(2, 3, 1).amax(3)


def steady(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode, without gradients, whose layers can be traced. Raises ModelError
    where it has layers that are unrolled step by step."""
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in list(twin.named_modules()):
        if type(module) in RECURRENT:
            raise ModelError(
                f"{RECURRENT[type(module)]} cannot be exported: torch.export unrolls a recurrence "
                "to rows of one length; use `raytl predict`, or raytl.load in a program of your own"
            )
        if isinstance(module, MaskedBatchNorm):
            _put(twin, name, SteadyNorm(module))
        elif isinstance(module, InceptionModule):
            module.pool = Neighbours()  # type: ignore[assignment]
    return twin.eval()


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
