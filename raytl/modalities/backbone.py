"""A backbone: a network as an ordered list of blocks.

Legend: B batch, S positions, C channels, H height, W width, D features.
"""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from raytl.rows import Padded, Rows, mean_of

OTHERS = ("LayerNorm", "RMSNorm")  # how transformers' own norms are called, such as T5's
State = Literal["maps", "tokens", "vector"]  # (B, C, H, W), Padded (B, S, C) or (B, S, C), (B, D)


class Backbone(nn.Module):
    """Ordered `blocks`, then `pool`, which has no parameters and makes features f_BD.

    Depth counts blocks from the input; block 0 is the stem, which takes the modality's own rows. A
    block never changes its input in place, so the output of a frozen prefix may be kept and used
    again; where rows are padded, blocks take and give `Padded`, and what stands in a row's own
    positions does not hang on how far the batch is padded.
    """

    def __init__(
        self,
        name: str,
        blocks: Sequence[nn.Module],
        pool: nn.Module,
        example: Rows,
        *,
        stem_is_shared: bool = False,
        channels_last: Collection[int] = (),
    ) -> None:
        """`example`: rows as the first block takes them, to find the width of features by.
        `stem_is_shared`: other blocks read weights that belong to the stem. `channels_last`: the
        numbers of the blocks that give (B, H, W, C), as the next one takes it."""
        super().__init__()
        self.name, self.stem_is_shared = name, stem_is_shared
        self.channels_last = frozenset(channels_last)
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        for block in self.blocks:
            _first_in_place_off(block)
        # After each block: (C, H, W) of one row where it gives maps, (D,) of a vector, else nothing
        self.shapes: tuple[tuple[int, ...], ...] = ()
        self.state_dim = 0  # C of what the last block gives
        self.feature_dim, self.state = self._measured(example)

    @property
    def taps(self) -> tuple[int, ...]:
        """The blocks whose maps dense heads read: the last one of each size."""
        maps = {number: shape[1:] for number, shape in enumerate(self.shapes) if len(shape) == 3}
        return tuple(sorted({size: number for number, size in maps.items()}.values()))

    @property
    def tap_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of each tap, the largest first."""
        return tuple(self.shapes[number] for number in self.taps)  # type: ignore[misc]

    @property
    def normalises(self) -> bool:
        """Whether blocks normalise their features over a batch, groups of channels or a row."""
        kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
        return any(
            isinstance(module, kinds) or type(module).__name__.endswith(OTHERS)
            for module in self.modules()
        )

    @property
    def steps(self) -> int:
        """The blocks, and the pooling."""
        return len(self.blocks) + 1

    def run(self, h: Rows, start: int = 0, stop: int | None = None) -> Rows:
        """Run blocks[start:stop]."""
        for block in self.blocks[start:stop]:
            h = block(h)
        return h

    def maps_of(self, number: int, h: Tensor) -> Tensor:
        """Return what block `number` gives as maps (B, C, H, W)."""
        return h.permute(0, 3, 1, 2) if number in self.channels_last else h

    def given_by(self, number: int, h_BCHW: Tensor) -> Tensor:
        """Return maps as block `number` gives them."""
        return h_BCHW.permute(0, 2, 3, 1) if number in self.channels_last else h_BCHW

    def forward(self, x: Rows) -> Tensor:
        """Return features f_BD of what the transform gives."""
        return self.pool(self.run(x))

    @torch.no_grad()
    def _measured(self, example: Rows) -> tuple[int, State]:
        # Found by running, so that no family's arithmetic is written twice.
        modes = {module: module.training for module in self.modules()}
        self.eval()
        h, shapes = example, list[tuple[int, ...]]()
        for number, block in enumerate(self.blocks):
            h = block(h)
            plain = isinstance(h, Tensor) and h.dim() in (2, 4)
            shapes.append(tuple(self.maps_of(number, h).shape[1:]) if plain else ())
        self.shapes = tuple(shapes)
        self.state_dim = (
            h.values.shape[-1] if isinstance(h, Padded) else h.shape[-1 if h.dim() == 3 else 1]
        )
        dim = self.pool(h).shape[1]
        for module, mode in modes.items():
            module.training = mode
        if isinstance(h, Padded) or h.dim() == 3:
            return int(dim), "tokens"
        return int(dim), "maps" if h.dim() == 4 else "vector"


def _first_in_place_off(block: nn.Module) -> None:
    """Turn off `inplace` where it would write into the block's own input."""
    leaves = [module for module in block.modules() if not list(module.children())]
    if leaves and getattr(leaves[0], "inplace", False):
        leaves[0].inplace = False  # type: ignore[assignment]


class GlobalPool(nn.Module):
    """Mean over height and width: (B, C, H, W) → (B, C)."""

    def forward(self, h_BCHW: Tensor) -> Tensor:
        return h_BCHW.mean((2, 3))


class MeanPool(nn.Module):
    """Mean over each row's own positions: Padded (B, S, D) → (B, D)."""

    def forward(self, h: Padded) -> Tensor:
        return mean_of(h)


class MaxPool(nn.Module):
    """Greatest value over each row's own positions: Padded (B, S, D) → (B, D); zeros for a row of
    length 0."""

    def forward(self, h: Padded) -> Tensor:
        hidden = ~h.mask.unsqueeze(2)
        most = h.values.masked_fill(hidden, -torch.inf).amax(1)
        return most.masked_fill(most == -torch.inf, 0.0)
