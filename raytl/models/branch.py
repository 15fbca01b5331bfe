"""A branch: one input column's way through a network.

Legend: B batch, D features.
"""

import copy
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Transform
from raytl.models.adapters import add_adapters
from raytl.models.tapping import Tapped, packed, run_tapped, unpacked
from raytl.rows import Given, Rows


def key_of(column: str) -> str:
    """Return the name of a module that belongs to a column: torch refuses those of its own
    attributes, and a column may well be called `type`."""
    return f"of_{column}"


@dataclass
class Part:
    """What a source model has for one column: the transform of its rows and the backbone behind it,
    by which name and arguments that is built. `fresh`: the blocks that nothing was learnt in
    before; `draws`: whether any weight was drawn by seed, if only a category's."""

    modality: Modality
    transform: Transform
    backbone: Backbone
    args: dict[str, Any]
    fresh: frozenset[int]
    draws: bool

    @property
    def transferred(self) -> bool:
        """Whether any block was trained before."""
        return len(self.fresh) < len(self.backbone.blocks)

    def clone(self) -> "Part":
        """Return a copy whose weights are its own."""
        return replace(self, backbone=copy.deepcopy(self.backbone))


@dataclass(frozen=True)
class BranchOutput:
    """What a branch gives: features f_BD; what its last block gave before they were pooled, None
    where only features are known; of a branch whose taps are read their maps, the largest first."""

    features: Tensor
    state: Rows | None
    taps: tuple[Tensor, ...] = ()


class Branch(nn.Module):
    """Transform → backbone blocks, some of them frozen → pool.

    Frozen means `requires_grad=False` and `eval()`, whatever mode the branch is put in: batch-norm
    statistics stay as they are and dropout is off. The leading frozen blocks are the prefix, whose
    output is a pure function of its weights and rows. `adapted`: the frozen blocks that adapters
    were put into, also once these are merged.
    """

    def __init__(
        self,
        part: Part,
        frozen: Collection[int],
        lora_rank: int = 0,
        lora_alpha: float = 1.0,
        *,
        tapped: bool = False,
    ) -> None:
        """`frozen`: numbers of the blocks that are never trained, but for low-rank adapters where
        `lora_rank` > 0. `tapped`: whether the maps of its taps are read; what is given with blocks
        done then holds theirs too (`tapping.packed`)."""
        super().__init__()
        self.tapped = tapped
        self.backbone = part.backbone
        self.modality, self.transform, self.args = part.modality, part.transform, part.args
        self.fresh, self.transferred = part.fresh, part.transferred
        blocks = range(len(self.backbone.blocks))
        assert set(frozen) <= set(blocks)
        self.frozen = frozenset(frozen)
        self._held: frozenset[int] = frozenset()
        self._fixed = {
            index: frozenset(n for n, p in block.named_parameters() if not p.requires_grad)
            for index, block in enumerate(self.backbone.blocks)
        }  # by its network: positions that are no weights, say
        adapted = set()
        for index in sorted(self.frozen):
            self.backbone.blocks[index].requires_grad_(False)
            if lora_rank and add_adapters(self.backbone.blocks[index], lora_rank, lora_alpha):
                adapted.add(index)
        self.adapted = frozenset(adapted)
        pure = self.frozen - self.adapted
        self.frozen_depth = next((i for i in blocks if i not in pure), len(blocks))
        self.train()

    @property
    def wholly_frozen(self) -> bool:
        """Whether all blocks belong to the prefix."""
        return self.frozen_depth == len(self.backbone.blocks)

    def train(self, mode: bool = True) -> "Branch":
        super().train(mode)
        for index in self.frozen | self._held:
            self.backbone.blocks[index].eval()
        return self

    def hold(self, blocks: frozenset[int]) -> bool:
        """Freeze exactly these blocks for now, besides those that always are. Returns whether that
        changes anything."""
        if blocks == self._held:
            return False
        for index in self.trainable_blocks():
            for parameter in self.block_parameters(index):
                parameter.requires_grad_(index not in blocks)
        self._held = blocks
        self.train(self.training)
        return True

    def trainable_blocks(self) -> list[int]:
        """Return the numbers of the blocks that are not frozen for good, in order."""
        return [i for i in range(len(self.backbone.blocks)) if i not in self.frozen]

    def block_parameters(self, index: int) -> list[nn.Parameter]:
        """Return the parameters of a trainable block, but for what its network keeps fixed."""
        named = self.backbone.blocks[index].named_parameters()
        return [parameter for name, parameter in named if name not in self._fixed[index]]

    def transformed(self, given: Given) -> Given:
        """Return rows as the first block takes them, unless steps are done already. Only then can
        rows of several domains be joined: as they are stored, sizes and types may differ."""
        if given.done or given.transformed:
            return given
        return replace(given, rows=self.transform(given.rows), transformed=True)

    def forward(self, given: Given) -> BranchOutput:
        """Run the steps that are not done yet."""
        given = self.transformed(given)
        if self.tapped:
            return self._with_taps(given)
        if given.done == self.backbone.steps:
            assert isinstance(given.rows, Tensor)
            return BranchOutput(given.rows, None)
        h, done = given.rows, given.done
        if done < self.frozen_depth:
            with torch.no_grad():
                h, done = self.backbone.run(h, done, self.frozen_depth), self.frozen_depth
        h = self.backbone.run(h, done)
        return BranchOutput(self.backbone.pool(h), h)

    def _with_taps(self, given: Given) -> BranchOutput:
        assert isinstance(given.rows, Tensor)
        tapped = Tapped(given.rows, 0, {})
        if given.done:
            tapped = unpacked(self.backbone, given.rows, given.done)
        if tapped.done < self.frozen_depth:
            with torch.no_grad():
                tapped = run_tapped(self.backbone, tapped, self.frozen_depth)
        tapped = run_tapped(self.backbone, tapped)
        taps = tuple(tapped.taps[number] for number in self.backbone.taps)
        return BranchOutput(self.backbone.pool(tapped.h), tapped.h, taps)

    def run_frozen(self, h: Rows, done: int, depth: int) -> Rows:
        """Run frozen blocks on what was stored after `done` of them; return what is stored after
        `depth`."""
        if not self.tapped:
            return self.backbone.run(h, done, depth)
        assert isinstance(h, Tensor)
        tapped = unpacked(self.backbone, h, done) if done else Tapped(h, 0, {})
        return packed(self.backbone, run_tapped(self.backbone, tapped, depth))
