"""Stems that make tokens, in front of a body that another modality brings.

Legend: B rows, C channels, H height, W width, S positions, D width of tokens.
"""

import math

import torch
from torch import Tensor, nn

from raytl.rows import Padded

WAVELENGTHS = 10_000.0


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Return the sinusoidal encoding of positions (Vaswani et al. 2017, section 3.5), (S, D): the
    first half sines, the second cosines."""
    half = (width + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(WAVELENGTHS) / half))
    angles = torch.arange(length, device=device).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


class Steps(nn.Module):
    """Padded (B, S, C) → padded (B, S, D): a linear map of each step, its position, layer norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(channels, width), nn.LayerNorm(width)

    def forward(self, x: Padded) -> Padded:
        h_BSD = self.linear(x.values)
        h_BSD = h_BSD + positions(h_BSD.shape[1], h_BSD.shape[2], h_BSD.device)
        return x.with_values(self.norm(h_BSD) * x.mask.unsqueeze(2))


class Patches(nn.Module):
    """x_BCHW → padded (B, S, D): square patches, each mapped linearly (Dosovitskiy et al. 2021, eq.
    1, without a class token), their positions, layer norm."""

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, side, stride=side)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BCHW: Tensor) -> Padded:
        h_BSD = self.patches(x_BCHW).flatten(2).transpose(1, 2)
        rows, length, width = h_BSD.shape
        h_BSD = self.norm(h_BSD + positions(length, width, h_BSD.device))
        return Padded(h_BSD, torch.full((rows, 1), length, dtype=torch.int64))
