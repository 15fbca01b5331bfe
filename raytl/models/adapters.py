"""Low-rank adapters inside frozen blocks.

Legend: O output, I input features of a layer (a convolution's input channels × kernel), R rank.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """W → W + (α / r) B A with A (R, I) random and B (O, R) zero at first (Hu et al. 2022, "LoRA",
    section 4.1). A convolution's kernel is taken as the matrix (O, I)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        inside = weight[0].numel()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.randn(rank, inside) / math.sqrt(inside))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


ADAPTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NOTHING_TO_ADAPT = (
    "adapters stand on linear and convolutional layers, of which {names} has none, got "
    "lora_rank={rank}; take lora_rank: 0 with this source model"
)


def _layers(module: nn.Module) -> list[nn.Module]:
    # The projections inside nn.MultiheadAttention are read without a call and left alone.
    inside = {
        m for a in module.modules() if isinstance(a, nn.MultiheadAttention) for m in a.modules()
    }
    return [m for m in module.modules() if isinstance(m, ADAPTED) and m not in inside]


def adaptable(module: nn.Module) -> bool:
    """Whether it has a layer that an adapter can stand on."""
    return bool(_layers(module))


def add_adapters(module: nn.Module, rank: int, alpha: float) -> bool:
    """Put an adapter on every linear and convolutional layer; return whether there was any."""
    layers = _layers(module)
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        parametrize.register_parametrization(layer, "weight", LowRank(weight, rank, alpha))
    return bool(layers)


def merge_adapters(module: nn.Module) -> None:
    """Make the adapted weights plain weights again."""
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
