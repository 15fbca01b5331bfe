"""What training changed in each block's features.

Legend: B batch, D features.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raytl.modalities.backbone import Backbone
from raytl.models.branch import Branch
from raytl.rows import Given, Inputs, Padded, Rows, mean_of
from raytl.scoring.similarity import gram, linear_cka

SIDE = 4  # maps are averaged over a grid of at most so many places a side


@dataclass(frozen=True)
class BlockChange:
    """A block before and after. `cka`: of both features of the same rows, NaN where they are the
    same in all rows; `frozen`: whether it was never trained; `fresh`: whether nothing was learnt in
    it before."""

    branch: str
    block: int
    frozen: bool
    fresh: bool
    cka: float


@torch.no_grad()
def block_changes(
    before: Mapping[str, Branch],
    after: Mapping[str, Branch],
    batches: Iterable[Inputs],
    more: Callable[[], bool],
) -> tuple[list[BlockChange], int]:
    """Return the change of each block of the branches, all in eval mode, and of how many rows it
    is told. Batches are read as long as `more` says so, one at least."""
    seen: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    rows = 0
    for inputs in batches:
        for name, given in inputs.items():
            for block, pair in enumerate(_pairs(before[name], after[name], given)):
                seen.setdefault((name, block), []).append(pair)
        rows += len(next(iter(inputs.values())))
        if not more():
            break
    found = []
    for (name, block), parts in sorted(seen.items()):
        branch, (ours, theirs) = after[name], zip(*parts, strict=True)
        grams = (gram(np.concatenate(of)) for of in (ours, theirs))
        cka = linear_cka(*grams) if rows > 1 else math.nan
        frozen = block in branch.frozen - branch.adapted
        found.append(BlockChange(name, block, frozen, block in branch.fresh, cka))
    return found, rows


def _pairs(before: Branch, after: Branch, given: Given) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what each block gives before and after, (B, D) each: of maps the means of a grid of
    places, of tokens their mean. The frozen prefix is the same network, and run once."""
    ours = theirs = before.transformed(given).rows
    found = []
    for number in range(len(before.backbone.blocks)):
        ours = before.backbone.run(ours, number, number + 1)
        flat = _flat(before.backbone, number, ours).float().cpu().numpy()
        if number < after.frozen_depth:
            theirs = ours
            found.append((flat, flat))
            continue
        theirs = after.backbone.run(theirs, number, number + 1)
        found.append((flat, _flat(after.backbone, number, theirs).float().cpu().numpy()))
    return found


def _flat(backbone: Backbone, number: int, h: Rows) -> Tensor:
    if isinstance(h, Padded):
        return mean_of(h).flatten(1)
    if h.dim() == 4:
        maps_BCHW = backbone.maps_of(number, h)
        height, width = (min(SIDE, side) for side in maps_BCHW.shape[2:])
        return F.adaptive_avg_pool2d(maps_BCHW, (height, width)).flatten(1)
    return h.mean(1) if h.dim() == 3 else h.flatten(1)
