"""Deep adaptation networks (DAN): multi-kernel maximum mean discrepancy.

Legend: S source rows, T target rows, N = S + T, D mapped features.
"""

import torch
from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.recipes.base import AlignmentRecipe, Losses, Outputs, in_float32

# Bandwidths relative to the mean squared distance.
KERNELS = tuple(2.0**power for power in range(-3, 2))


def multi_kernel_mmd(source_SD: Tensor, target_TD: Tensor) -> Tensor:
    """Return the squared MMD under the mean of Gaussian kernels exp(-‖a - b‖² / (s·m)), s in
    KERNELS, m the mean squared distance over all pairs of different rows (no gradient).

    The unbiased quadratic estimate (Gretton et al. 2012, eq. 3), which may be negative. Needs two
    rows of each domain at least.
    """
    with in_float32(source_SD):
        return _mmd(torch.cat([source_SD, target_TD]).float(), len(source_SD))


def _mmd(rows: Tensor, sources: int) -> Tensor:
    count = len(rows)
    norms = rows.square().sum(1)
    squared = (norms[:, None] + norms[None, :] - 2.0 * rows @ rows.T).clamp(min=0.0)
    mean = squared.detach().sum() / (count * (count - 1))
    kernel = torch.stack([torch.exp(-squared / (scale * mean)) for scale in KERNELS]).mean(0)
    within_s, within_t = kernel[:sources, :sources], kernel[sources:, sources:]
    targets = count - sources
    same_s = (within_s.sum() - within_s.diagonal().sum()) / (sources * (sources - 1))
    same_t = (within_t.sum() - within_t.diagonal().sum()) / (targets * (targets - 1))
    return same_s + same_t - 2.0 * kernel[:sources, sources:].mean()


class Dan(AlignmentRecipe):
    """Long et al. 2015, "Learning Transferable Features with Deep Adaptation Networks", ICML,
    eq. 1 and 4. Deviations: MMD on the mapper's output alone, equal kernel weights, and the
    quadratic instead of the linear-time estimate, whose variance at usual batch sizes is large."""

    name = "dan"
    least_rows = 2
    vectorises = True

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        return {"alignment": multi_kernel_mmd(outputs["source"].mapped, outputs["target"].mapped)}
