"""The transfer model: source backbone, mapper, head.

Legend: B batch, C channels, H height, W width, D features, K classes.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

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
    """Frozen prefix → trainable blocks → pool → mapper → head.

    Frozen means `requires_grad=False` and `eval()`, whatever mode the model is put in: batch-norm
    statistics stay as they are and dropout is off.
    """

    def __init__(
        self,
        backbone: Backbone,
        mapper: Mapper,
        head: nn.Module,
        frozen_depth: int,
        transferred: bool,
    ) -> None:
        """`frozen_depth`: leading blocks that are frozen, 0..blocks. `transferred`: whether the
        backbone's weights come from a source model."""
        super().__init__()
        assert 0 <= frozen_depth <= len(backbone.blocks)
        self.backbone, self.mapper, self.head = backbone, mapper, head
        self.frozen_depth, self.transferred = frozen_depth, transferred
        self.reads: Reads = "images"
        for block in self.backbone.blocks[:frozen_depth]:
            block.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "TransferModel":
        super().train(mode)
        for block in self.backbone.blocks[: self.frozen_depth]:
            block.eval()
        return self

    @torch.no_grad()
    def prefix(self, x_BCHW: Tensor) -> Tensor:
        """Run the frozen blocks: a pure function of weights and input."""
        return self.backbone.run(x_BCHW, 0, self.frozen_depth)

    def suffix(self, h: Tensor) -> TransferOutput:
        """Run what follows the frozen blocks."""
        return self._mapped(self.backbone.pool(self.backbone.run(h, self.frozen_depth)))

    def _mapped(self, features: Tensor) -> TransferOutput:
        mapped = self.mapper(features)
        return TransferOutput(features, mapped, self.head(mapped))

    def forward(self, x: Tensor) -> TransferOutput:
        """`x`: images x_BCHW, or what `reads` names."""
        if self.reads == "features":
            return self._mapped(x)
        return self.suffix(x if self.reads == "prefix" else self.prefix(x))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trainable parameters: of `transferred` blocks, and `new` ones."""
        blocks = [p for b in self.backbone.blocks[self.frozen_depth :] for p in b.parameters()]
        new = [*self.mapper.parameters(), *self.head.parameters()]
        if self.transferred:
            return {"transferred": blocks, "new": new}
        return {"transferred": [], "new": blocks + new}

    def num_trainable(self) -> int:
        """Return how many numbers are trained."""
        return sum(p.numel() for group in self.parameter_groups().values() for p in group)

    def _trainable_parts(self) -> nn.ModuleDict:
        blocks = nn.ModuleList(self.backbone.blocks[self.frozen_depth :])
        return nn.ModuleDict({"blocks": blocks, "mapper": self.mapper, "head": self.head})

    def trainable_state(self) -> dict[str, Tensor]:
        """Return parameters and buffers of all that training changes."""
        return self._trainable_parts().state_dict()

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trainable_state` returned."""
        self._trainable_parts().load_state_dict(state)
