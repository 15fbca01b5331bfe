"""The transfer model: source backbone, mapper, head.

Legend: B batch, C channels, D features, K classes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from raytl.models.adapters import add_adapters
from raytl.models.backbones.base import Backbone
from raytl.models.mappers import Mapper

# What a model is given: images, the output of its frozen prefix, or the backbone's features.
Reads = Literal["images", "prefix", "features"]


@dataclass(frozen=True)
class TransferOutput:
    """What one forward pass gives."""

    features: Tensor  # f_BD of the backbone
    mapped: Tensor  # z_BD of the mapper
    logits: Tensor  # (B, K)


class TransferModel(nn.Module):
    """Backbone blocks, some of them frozen → pool → mapper → head.

    Frozen means `requires_grad=False` and `eval()`, whatever mode the model is put in: batch-norm
    statistics stay as they are and dropout is off. The leading frozen blocks are the prefix, whose
    output is a pure function of its weights and input.
    """

    def __init__(
        self,
        backbone: Backbone,
        mapper: Mapper,
        head: nn.Module,
        frozen: Collection[int],
        transferred: bool,
        lora_rank: int = 0,
        lora_alpha: float = 1.0,
    ) -> None:
        """`frozen`: numbers of the blocks that are never trained, but for low-rank adapters where
        `lora_rank` > 0. `transferred`: whether the backbone's weights come from a source model."""
        super().__init__()
        blocks = range(len(backbone.blocks))
        assert set(frozen) <= set(blocks)
        self.backbone, self.mapper, self.head = backbone, mapper, head
        self.frozen, self.transferred = frozenset(frozen), transferred
        self.reads: Reads = "images"
        self._held: frozenset[int] = frozenset()
        adapted = set()
        for index in sorted(self.frozen):
            backbone.blocks[index].requires_grad_(False)
            if lora_rank and add_adapters(backbone.blocks[index], lora_rank, lora_alpha):
                adapted.add(index)
        pure = self.frozen - adapted
        self.frozen_depth = next((i for i in blocks if i not in pure), len(blocks))
        self.train()

    def train(self, mode: bool = True) -> "TransferModel":
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
            self.backbone.blocks[index].requires_grad_(index not in blocks)
        self._held = blocks
        self.train(self.training)
        return True

    @torch.no_grad()
    def prefix(self, x_BCHW: Tensor) -> Tensor:
        """Run the leading frozen blocks: a pure function of weights and input."""
        return self.backbone.run(x_BCHW, 0, self.frozen_depth)

    def suffix(self, h: Tensor, num_source: int = 0) -> TransferOutput:
        """Run what follows the prefix; the first `num_source` rows are the source domain's."""
        h = self.backbone.run(h, self.frozen_depth)
        features = self.backbone.pool(h)
        return self._mapped(features, h if self.mapper.spatial else features, num_source)

    def _mapped(self, features: Tensor, given: Tensor, num_source: int) -> TransferOutput:
        if self.mapper.only_source:
            mapped = torch.cat([self.mapper(given[:num_source]), given[num_source:]])
        else:
            mapped = self.mapper(given)
        return TransferOutput(features, mapped, self.head(mapped))

    def forward(self, x: Tensor, num_source: int = 0) -> TransferOutput:
        """`x`: images x_BCHW, or what `reads` names; its first `num_source` rows are the source
        domain's."""
        if self.reads == "features":
            return self._mapped(x, x, num_source)
        return self.suffix(x if self.reads == "prefix" else self.prefix(x), num_source)

    def trainable_blocks(self) -> list[int]:
        """Return the numbers of the blocks that are not frozen for good, in order."""
        return [i for i in range(len(self.backbone.blocks)) if i not in self.frozen]

    def block_parameters(self, index: int) -> list[nn.Parameter]:
        """Return the parameters of a trainable block."""
        return list(self.backbone.blocks[index].parameters())

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return what adapters train inside frozen blocks."""
        blocks = (self.backbone.blocks[i] for i in sorted(self.frozen))
        return [p for block in blocks for p in block.parameters() if p.requires_grad]

    def new_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of mapper and head."""
        parameters = [*self.mapper.parameters(), *self.head.parameters()]
        return [p for p in parameters if p.requires_grad]

    def num_trainable(self) -> int:
        """Return how many numbers are trained, now or later."""
        blocks = [p for i in self.trainable_blocks() for p in self.block_parameters(i)]
        parameters = [*blocks, *self.adapter_parameters(), *self.new_parameters()]
        return sum(p.numel() for p in parameters)

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
        prefixes = tuple(f"backbone.blocks.{i}." for i in self.frozen)
        return {n for n in self.state_dict() if n.startswith(prefixes) and n not in trained}
