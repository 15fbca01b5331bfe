"""Where in some rows a trained network looked: Grad-CAM of images, saliency of tokens.

Legend: B batch, K numbers that the head gives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raytl.errors import ModelError
from raytl.modalities.text.transform import TokenizerTransform, VocabularyTransform
from raytl.models.branch import Branch, Part
from raytl.models.transfer_model import TransferModel
from raytl.rows import Inputs, Padded, Rows
from raytl.scoring.saliency import grad_cam, token_saliency


@dataclass(frozen=True)
class Looked:
    """What one column of rows says for the answers. `said`: number K of each answer. `maps`: of an
    image, (B, H, W) in [0, 1]; `tokens`: of a text, each row's tokens with what each says for the
    answer, in [-1, 1]."""

    column: str
    said: list[int]
    maps: np.ndarray | None = None
    tokens: list[list[tuple[str, float]]] | None = None


def columns_to_look_into(model: TransferModel) -> list[str]:
    """Return the columns of a model that can be looked into: images where the backbone gives maps,
    and texts."""
    return [
        name
        for name, branch in model.named_branches.items()
        if isinstance(branch.transform, TokenizerTransform | VocabularyTransform)
        or (branch.modality.name == "image" and branch.backbone.state == "maps")
    ]


def look(model: TransferModel, column: str, inputs: Inputs) -> Looked:
    """Return where the rows of `inputs` say most for the highest number that the head gives.

    Grad-CAM takes the maps of the last block, saliency what the stem gives. The model's mode is put
    back afterwards. Raises ModelError where the head gives no numbers, or no gradient comes so far.
    """
    free = _without_frozen(model)
    branch = free.branch(column)
    text = branch.modality.name == "text"
    place = 0 if text else len(branch.backbone.blocks) - 1
    was_training = model.training
    free.eval()
    held: list[Rows] = []
    hook = branch.backbone.blocks[place].register_forward_hook(_holding(held))
    try:
        with torch.enable_grad():
            out = free(inputs).out
            if not isinstance(out, Tensor) or out.dim() != 2:
                raise ModelError("the head gives no numbers a row that a gradient could be of")
            said_B = out.argmax(1)
            values = held[0].values if isinstance(held[0], Padded) else held[0]
            (gradient,) = torch.autograd.grad(
                out.gather(1, said_B[:, None]).sum(), values, allow_unused=True
            )
    finally:
        hook.remove()
        model.train(was_training)
    if gradient is None:
        raise ModelError(f"the answer does not hang on column {column}")
    said = said_B.tolist()
    if not text:
        both = (branch.backbone.maps_of(place, of.detach()).cpu().numpy()
                for of in (values, gradient))  # fmt: skip
        return Looked(column, said, maps=grad_cam(*both))
    share_BS = token_saliency(values.detach().cpu().numpy(), gradient.cpu().numpy())
    return Looked(column, said, tokens=_spelled(branch, inputs[column].rows, share_BS))


def _holding(held: list[Rows]) -> Callable[..., Rows]:
    """Return a hook that keeps what a block gives as what the gradient is taken of."""

    def hook(module: torch.nn.Module, args: object, out: Rows) -> Rows:
        values = (out.values if isinstance(out, Padded) else out).detach().requires_grad_()
        held.append(out.with_values(values) if isinstance(out, Padded) else values)
        return held[0]

    return hook


def _without_frozen(model: TransferModel) -> TransferModel:
    """Return the same modules with no block frozen: a gradient passes through all of them."""
    branches = {}
    for name, of in model.named_branches.items():
        part = Part(of.modality, of.transform, of.backbone, of.args, of.fresh, draws=False)
        branches[name] = Branch(part, (), tapped=of.tapped)
    return TransferModel(branches, model.fusion, model.mapper, model.head, model.reads)


def _spelled(branch: Branch, rows: Rows, share_BS: np.ndarray) -> list[list[tuple[str, float]]]:
    transform = branch.transform
    assert isinstance(transform, TokenizerTransform | VocabularyTransform)
    assert isinstance(rows, Padded)
    found = []
    for numbers, size, shares in zip(rows.values, rows.sizes[:, 0], share_BS, strict=True):
        own = int(size)
        words = transform.spelled(numbers[:own].tolist())
        found.append(list(zip(words, shares[:own].tolist(), strict=True)))
    return found
