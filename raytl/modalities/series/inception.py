"""InceptionTime's network over padded series.

Legend: B rows, S steps of the longest row, C channels, F filters of one branch, D features.
"""

from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from raytl.config import Frozen
from raytl.modalities.backbone import Backbone, MeanPool
from raytl.rows import Padded

BRANCHES = 4  # three lengths of kernel, and the maximum of neighbours


class InceptionArgs(Frozen):
    """`args:` of inception."""

    blocks: PositiveInt = 2
    modules: PositiveInt = 3  # of each block, within one shortcut
    filters: PositiveInt = 32  # of each of a module's four branches
    kernel: PositiveInt = 40  # of the longest convolution, in steps; the others: a half, a quarter


@dataclass(frozen=True)
class Own:
    """Which steps are rows' own: `hidden_B1S`, those that are not; `places`, the numbers of those
    that are, of all B·S. Found once for a block: it costs a wait for the device."""

    hidden_B1S: Tensor
    places: Tensor

    @classmethod
    def of(cls, x: Padded) -> "Own":
        """Return those of padded rows."""
        mask_BS = x.mask
        return cls(~mask_BS.unsqueeze(1), mask_BS.flatten().nonzero().squeeze(1))


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) whose statistics are of rows' own steps alone:
    (B, C, S) → (B, C, S), zeros elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A module of its own, of torch's own type, so that what replaces such layers (to
        # synchronise workers) finds it. A batch without an own step passes and teaches it nothing.
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x_BCS: Tensor, own: Own) -> Tensor:
        rows, channels, steps = x_BCS.shape
        flat = x_BCS.transpose(1, 2).reshape(rows * steps, channels)
        normal = self.norm(flat[own.places])
        out = normal.new_zeros(flat.shape).index_copy(0, own.places, normal)
        return out.view(rows, steps, channels).transpose(1, 2)


class InceptionModule(nn.Module):
    """A bottleneck, three convolutions of falling length beside the maximum of three neighbours,
    joined, normalised, ReLU: (B, C, S) → (B, 4F, S) (Ismail Fawaz et al. 2020, figure 2)."""

    def __init__(self, inside: int, filters: int, kernel: int) -> None:
        super().__init__()
        narrow = filters if inside > 1 else 1
        self.bottleneck = _conv(inside, narrow, 1) if inside > 1 else nn.Identity()
        self.convs = nn.ModuleList(
            _conv(narrow, filters, _odd(kernel // part)) for part in (1, 2, 4)
        )
        self.pool = nn.MaxPool1d(3, stride=1, padding=1)
        self.of_pool = _conv(inside, filters, 1)
        self.norm = MaskedBatchNorm(BRANCHES * filters)

    def forward(self, x_BCS: Tensor, own: Own) -> Tensor:
        narrow = self.bottleneck(x_BCS)
        # Steps that are no row's are less than all others, as those outside of a series are.
        greatest = self.pool(x_BCS.masked_fill(own.hidden_B1S, -torch.inf))
        greatest = greatest.masked_fill(own.hidden_B1S, 0.0)
        branches = [*(conv(narrow) for conv in self.convs), self.of_pool(greatest)]
        return self.norm(torch.cat(branches, dim=1), own).relu()


class InceptionBlock(nn.Module):
    """Inception modules within one shortcut (a convolution of length 1, normalised):
    Padded (B, S, C) → Padded (B, S, 4F)."""

    def __init__(self, inside: int, args: InceptionArgs) -> None:
        super().__init__()
        outside = BRANCHES * args.filters
        sizes = [inside, *[outside] * (args.modules - 1)]
        self.inception = nn.ModuleList(
            InceptionModule(size, args.filters, args.kernel) for size in sizes
        )
        self.shortcut, self.norm = _conv(inside, outside, 1), MaskedBatchNorm(outside)

    def forward(self, x: Padded) -> Padded:
        own, x_BCS = Own.of(x), x.values.transpose(1, 2)
        h = x_BCS
        for module in self.inception:
            h = module(h, own)
        h = (h + self.norm(self.shortcut(x_BCS), own)).relu()
        return x.with_values(h.transpose(1, 2))


def _odd(length: int) -> int:
    return max(length - 1 + length % 2, 1)


def _conv(inside: int, outside: int, length: int) -> nn.Conv1d:
    """A convolution that keeps the number of steps; batch normalisation after it has the bias."""
    return nn.Conv1d(inside, outside, length, padding=length // 2, bias=False)


def build_inception(name: str, channels: int, args: InceptionArgs, example: Padded) -> Backbone:
    """Ismail Fawaz et al. 2020, "InceptionTime", Data Mining and Knowledge Discovery 34, section 3:
    residual blocks of inception modules, and the mean over a row's own steps.

    Deviations: one network, not an ensemble of five; kernels of 39, 19 and 9 steps in place of 40,
    20 and 10, so that they have a middle; lengths of rows may differ, so that batch normalisation
    takes its statistics of rows' own steps.
    """
    sizes = [channels, *[BRANCHES * args.filters] * (args.blocks - 1)]
    blocks = [InceptionBlock(size, args) for size in sizes]
    return Backbone(name, blocks, MeanPool(), example)
