"""Heads: the target network after the mapper.

Legend: B batch, D mapped features, K numbers that the task asks for (of a class each, say).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import HeadConfig


def linear(config: HeadConfig, in_dim: int, out_dim: int) -> nn.Module:
    """z_BD → out_BK."""
    return nn.Sequential(nn.Dropout(config.dropout), nn.Linear(in_dim, out_dim))


def mlp(config: HeadConfig, in_dim: int, out_dim: int) -> nn.Module:
    """z_BD → out_BK with one hidden ReLU layer."""
    return nn.Sequential(
        nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Dropout(config.dropout),
        nn.Linear(config.hidden, out_dim),
    )  # fmt: skip


class Cosine(nn.Module):
    """out = s · cos(w_k, z), with s learnt from 10 on (Gidaris & Komodakis 2018, eq. 4)."""

    def __init__(self, config: HeadConfig, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / math.sqrt(in_dim))
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, z_BD: Tensor) -> Tensor:
        cosines = F.normalize(self.dropout(z_BD), dim=1) @ F.normalize(self.weight, dim=1).T
        return self.scale * cosines


class CnnFc(nn.Module):
    """A convolutional and fully connected target network on the mapped features.

    The D features are laid out row by row in the smallest square that holds them (4×4 at least),
    the rest zero: one channel. Two 3×3 convolutions of 16 and 32 channels with ReLU and 2×2 max
    pooling, then fully connected layers of `hidden` and K.
    """

    def __init__(self, config: HeadConfig, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.side = max(4, math.ceil(math.sqrt(in_dim)))
        flat = 32 * (self.side // 4) ** 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.connected = nn.Sequential(
            nn.Linear(flat, config.hidden), nn.ReLU(), nn.Dropout(config.dropout),
            nn.Linear(config.hidden, out_dim),
        )  # fmt: skip

    def forward(self, z_BD: Tensor) -> Tensor:
        padded = F.pad(z_BD, (0, self.side**2 - z_BD.shape[1]))
        return self.connected(self.convolutions(padded.view(-1, 1, self.side, self.side)))


class OneAnswer(nn.Module):
    """A head that says the same of every row, `bias`, whatever is in it: see
    `Task.constant_out`."""

    def __init__(self, out_dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out_dim))


class Constant(OneAnswer):
    """The same numbers for every row."""

    def __init__(self, config: HeadConfig, in_dim: int, out_dim: int) -> None:
        super().__init__(out_dim)

    def forward(self, z_BD: Tensor) -> Tensor:
        return self.bias.expand(z_BD.shape[0], -1)


class NaiveHead(nn.Module):
    """What is given, in the target's unit, standardised: f_BH → out_BH. `shift` is never moved; an
    optimiser needs a parameter."""

    def __init__(self, steps: int, mean: float, std: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.shift = nn.Parameter(torch.zeros(steps))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64))

    def forward(self, f_BH: Tensor) -> Tensor:
        return ((f_BH.double() - self.mean) / self.std).to(f_BH.dtype) + self.shift


HEADS: dict[str, Callable[[HeadConfig, int, int], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "cosine": Cosine,
    "cnn_fc": CnnFc,
    "constant": Constant,
}


def build_head(config: HeadConfig, in_dim: int, out_dim: int) -> nn.Module:
    """Build the head for mapped features of width `in_dim`: z_BD → out_BK with K = `out_dim`."""
    return HEADS[config.name](config, in_dim, out_dim)
