"""Rows of a domain as a model sees them, before it was trained and after.

Legend: N rows, D features.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from raytl.models.mappers import Identity
from raytl.models.transfer_model import TransferModel
from raytl.rows import Inputs

Stage = Literal["before", "after", "mapped"]


@torch.no_grad()
def features_of(
    before: TransferModel,
    after: TransferModel,
    branches: Collection[str],
    batches: Iterable[Inputs],
    more: Callable[[], bool],
    *,
    of_source: bool,
) -> dict[Stage, np.ndarray]:
    """Return the pooled features of these branches, side by side, before and after training, and
    what the trained mapper gives where it changes anything and the branches are all there are,
    (N, D) each, of the same rows.

    Both models are in eval mode. Batches are read as long as `more` says so, one at least.
    `of_source`: the rows are the source domain's.
    """
    mapped = set(branches) == set(after.columns) and after.reads == "features"
    mapped = mapped and not isinstance(after.mapper, Identity)
    parts: dict[Stage, list[Tensor]] = {"before": [], "after": []}
    if mapped:
        parts["mapped"] = []
    for inputs in batches:
        rows = len(next(iter(inputs.values())))
        parts["before"].append(_pooled(before, branches, inputs))
        frozen = all(after.branch(name).wholly_frozen for name in branches)
        same = parts["before"][-1] if frozen else _pooled(after, branches, inputs)
        parts["after"].append(same)
        if mapped:
            output = after(inputs, num_source=rows if of_source else 0)
            parts["mapped"].append(output.mapped.flatten(1))
        if not more():
            break
    return {stage: torch.cat(of).float().cpu().numpy() for stage, of in parts.items()}


def _pooled(model: TransferModel, branches: Collection[str], inputs: Inputs) -> Tensor:
    return torch.cat([model.branch(name)(inputs[name]).features for name in branches], dim=1)
