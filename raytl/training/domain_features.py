"""Both domains' rows as a model sees them.

Legend: N rows, D features.
"""

from collections.abc import Callable, Collection, Iterable

import numpy as np
import torch

from raytl.models.transfer_model import TransferModel
from raytl.rows import Inputs


@torch.no_grad()
def features_of(
    model: TransferModel,
    branches: Collection[str],
    batches: Iterable[Inputs],
    more: Callable[[], bool],
) -> np.ndarray:
    """Return the pooled features of these branches, side by side, (N, D). Batches are read as long
    as `more` says so, one at least. The model's mode is put back afterwards."""
    was_training = model.training
    model.eval()
    parts = []
    for inputs in batches:
        pooled = [model.branch(name)(inputs[name]).features for name in branches]
        parts.append(torch.cat(pooled, dim=1).float().cpu().numpy())
        if not more():
            break
    model.train(was_training)
    return np.concatenate(parts)


@torch.no_grad()
def mapped_of(
    model: TransferModel, batches: Iterable[Inputs], more: Callable[[], bool], *, of_source: bool
) -> np.ndarray:
    """Return what the mapper gives, (N, D), of rows of the source domain or of the target."""
    was_training = model.training
    model.eval()
    parts = []
    for inputs in batches:
        rows = len(next(iter(inputs.values())))
        mapped = model(inputs, num_source=rows if of_source else 0).mapped
        parts.append(mapped.flatten(1).float().cpu().numpy())
        if not more():
            break
    model.train(was_training)
    return np.concatenate(parts)
