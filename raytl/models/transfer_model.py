"""The transfer model: branches, fusion, mapper, head.

Legend: B batch, D features, K numbers that the head gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raytl import rows
from raytl.models.branch import Branch, key_of
from raytl.models.fusion import Fusion
from raytl.models.mappers import Mapper
from raytl.ranks import all_rows
from raytl.rows import Inputs
from raytl.tasks.base import HeadReads

Block = tuple[str, int]  # a branch's name, a block's number


@dataclass(frozen=True)
class TransferOutput:
    """What one forward pass gives."""

    features: Tensor  # f_BD of the (fused) branches
    mapped: Tensor  # z_BD of the mapper
    out: Any  # (B, K): what the head gives, such as logits; of others than numbers a `rows.Tree`
    head: nn.Module  # which gave it

    def split(self, sizes: Sequence[int]) -> list["TransferOutput"]:
        """Return the outputs for consecutive parts of these many rows each."""
        parts = zip(
            self.features.split(list(sizes)), self.mapped.split(list(sizes)),
            rows.split(self.out, sizes), strict=True,
        )  # fmt: skip
        return [TransferOutput(*part, self.head) for part in parts]

    def of_all_rows(self, count: int, *, own_out: bool) -> "TransferOutput":
        """Return the outputs for all rows of a batch, `count`, of which each worker has run its
        own; with `own_out` what the head gave stays with the worker, for it is large."""
        out = self.out if own_out else all_rows(self.out, count)
        features, mapped = (all_rows(part, count) for part in (self.features, self.mapped))
        return TransferOutput(features, mapped, out, self.head)


class TransferModel(nn.Module):
    """Branches, each of blocks some of which are frozen → fusion → mapper → head."""

    def __init__(
        self,
        branches: Mapping[str, Branch],
        fusion: Fusion,
        mapper: Mapper,
        head: nn.Module,
        reads: HeadReads = "features",
    ) -> None:
        """`reads`: what the head is given; see `Task.reads`."""
        super().__init__()
        self.reads = reads
        self.branches = nn.ModuleDict({key_of(name): b for name, b in branches.items()})
        self.columns = tuple(branches)
        self.fusion, self.mapper, self.head = fusion, mapper, head
        self.train()

    def branch(self, name: str) -> Branch:
        """Return a branch by the name of its column."""
        branch = self.branches[key_of(name)]
        assert isinstance(branch, Branch)
        return branch

    @property
    def named_branches(self) -> dict[str, Branch]:
        """All branches by the names of their columns."""
        return {name: self.branch(name) for name in self.columns}

    @property
    def feature_dim(self) -> int:
        """D of f_BD."""
        return self.fusion.out_dim

    @property
    def tap_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of the maps that the head reads, the largest first; none of another head."""
        if self.reads != "taps":
            return ()
        (branch,) = self.named_branches.values()
        return branch.backbone.tap_shapes

    @property
    def transferred(self) -> bool:
        """Whether any branch's weights come from a source model."""
        return any(branch.transferred for branch in self.named_branches.values())

    def forward(self, inputs: Inputs, num_source: int = 0) -> TransferOutput:
        """Run the branches that are given rows, and what follows. The first `num_source` rows are
        the source domain's."""
        branches = self.named_branches
        outputs = {name: b(inputs[name]) for name, b in branches.items() if name in inputs}
        fused = self.fusion(outputs)
        if self.mapper.spatial:
            assert fused.state is not None
            mapped = self.mapper(fused.state)
        elif self.mapper.only_source:
            source, target = fused.features[:num_source], fused.features[num_source:]
            mapped = torch.cat([self.mapper(source), target])
        else:
            mapped = self.mapper(fused.features)
        given = {"features": mapped, "taps": fused.taps, "state": fused.state}[self.reads]
        return TransferOutput(fused.features, mapped, self.head(given), self.head)

    def hold(self, blocks: frozenset[Block]) -> bool:
        """Freeze exactly these blocks for now, besides those that always are. Returns whether that
        changes anything."""
        changes = [
            branch.hold(frozenset(i for of, i in blocks if of == name))
            for name, branch in self.named_branches.items()
        ]
        return any(changes)

    def trainable_blocks(self) -> list[Block]:
        """Return the blocks that are not frozen for good, those furthest from the head first."""
        blocks = [
            (name, i) for name, b in self.named_branches.items() for i in b.trainable_blocks()
        ]
        return sorted(blocks, key=lambda block: -self.distance(block))

    def is_fresh(self, block: Block) -> bool:
        """Whether nothing was learnt in a block before."""
        return block[1] in self.branch(block[0]).fresh

    def distance(self, block: Block) -> int:
        """Return how many blocks of its branch follow a block."""
        name, index = block
        return len(self.branch(name).backbone.blocks) - 1 - index

    def block_parameters(self, block: Block) -> list[nn.Parameter]:
        """Return the parameters of a trainable block that are trained."""
        name, index = block
        return self.branch(name).block_parameters(index)

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return what adapters train inside frozen blocks."""
        return [
            p
            for branch in self.named_branches.values()
            for i in sorted(branch.frozen)
            for p in branch.backbone.blocks[i].parameters()
            if p.requires_grad
        ]

    def new_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of fusion, mapper and head."""
        parts = (self.fusion, self.mapper, self.head)
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def num_trainable(self) -> int:
        """Return how many numbers are trained, now or later."""
        blocks = [p for block in self.trainable_blocks() for p in self.block_parameters(block)]
        parameters = [*blocks, *self.adapter_parameters(), *self.new_parameters()]
        return sum(p.numel() for p in parameters)

    def num_frozen_blocks(self) -> int:
        """Return how many blocks are never trained, of all branches."""
        return sum(len(branch.frozen) for branch in self.named_branches.values())

    def trainable_state(self) -> dict[str, Tensor]:
        """Return parameters and buffers of all that training changes."""
        fixed = self._fixed_names()
        return {k: v for k, v in self.state_dict().items() if k not in fixed}

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trainable_state` returned."""
        missing, unexpected = self.load_state_dict(state, strict=False)
        if unexpected or set(missing) - self._fixed_names():
            raise RuntimeError(f"the state does not fit: {[*unexpected, *missing][:3]}")

    def _fixed_names(self) -> set[str]:
        """Names of what never changes: all of the frozen blocks but their adapters."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        prefixes = tuple(
            f"branches.{key_of(name)}.backbone.blocks.{i}."
            for name, branch in self.named_branches.items()
            for i in branch.frozen
        )
        return {n for n in self.state_dict() if n.startswith(prefixes) and n not in trained}
