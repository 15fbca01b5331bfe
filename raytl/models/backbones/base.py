"""A backbone: a network as an ordered list of blocks.

Legend: B batch, C channels, H height, W width, D features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

Shape = tuple[int, int, int]  # (C, H, W)


class Backbone(nn.Module):
    """Ordered `blocks`, then `pool`, which has no parameters and makes features f_BD.

    Depth counts blocks from the input. A block never changes its input in place, so the output of
    a frozen prefix may be kept and used again.
    """

    def __init__(
        self, name: str, blocks: Sequence[nn.Module], pool: nn.Module, input_shape: Shape
    ) -> None:
        super().__init__()
        self.name = name
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        self.input_shape = input_shape
        for block in self.blocks:
            _first_in_place_off(block)
        self.feature_dim = self._feature_dim()

    @property
    def normalises(self) -> bool:
        """Whether blocks normalise their features over a batch, groups of channels or a row."""
        kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm)
        return any(isinstance(module, kinds) for module in self.modules())

    def run(self, h: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run blocks[start:stop]."""
        for block in self.blocks[start:stop]:
            h = block(h)
        return h

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return features f_BD."""
        return self.pool(self.run(x_BCHW))

    @torch.no_grad()
    def _feature_dim(self) -> int:
        # Found by running, so that no family's arithmetic is written twice.
        device = next(self.parameters()).device
        modes = {module: module.training for module in self.modules()}
        self.eval()
        dim = self(torch.zeros(1, *self.input_shape, device=device)).shape[1]
        for module, mode in modes.items():
            module.training = mode
        return int(dim)


def _first_in_place_off(block: nn.Module) -> None:
    """Turn off `inplace` where it would write into the block's own input."""
    leaves = [module for module in block.modules() if not list(module.children())]
    if leaves and getattr(leaves[0], "inplace", False):
        leaves[0].inplace = False  # type: ignore[assignment]


class GlobalPool(nn.Module):
    """Mean over height and width: (B, C, H, W) → (B, C)."""

    def forward(self, h_BCHW: Tensor) -> Tensor:
        return h_BCHW.mean((2, 3))


@dataclass(frozen=True)
class BackboneSpec:
    """How a backbone is built, and what inputs it takes."""

    build: Callable[..., Backbone]  # build(name, input_shape, **args)
    min_side: int
    channels: tuple[int, ...] | None = None  # None: any number
    side_multiple: int = 1
    default_side: int | None = None  # None: the data's own
    torchvision: bool = False
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None  # others' weights
