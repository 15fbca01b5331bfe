"""Resizing as two products of matrices, which every format knows and none reads in its own way.

Legend: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Resized(nn.Module):
    """Maps scaled to a height and width with antialiasing, (B, C, H, W) → (B, C, H', W'): what
    `F.interpolate` does is linear in height and in width, so its answers to unit vectors say all
    of it."""

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int], to: tuple[int, int], mode: str) -> None:
        super().__init__()
        self.register_buffer("rows", _matrix(size[0], to[0], mode))
        self.register_buffer("columns", _matrix(size[1], to[1], mode))
        self.same = size == to

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW if self.same else self.rows @ x_BCHW @ self.columns.T


def _matrix(size: int, to: int, mode: str) -> Tensor:
    """Return what scales one side: (to, size)."""
    if size == to:
        return torch.eye(size)
    # A second side of two equal pixels, as the filter must not see an end there that maps have not
    units = torch.eye(size).view(size, 1, size, 1).expand(-1, -1, -1, 2).contiguous()
    scaled = F.interpolate(units, (to, 2), mode=mode, antialias=True, align_corners=False)
    return scaled[:, 0, :, 0].T.contiguous()
