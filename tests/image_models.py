"""Networks of one branch of images, for tests of what is behind the branch."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Transform
from raytl.modalities.image.spec import Shape
from raytl.modalities.registry import MODALITIES
from raytl.models.branch import Branch, Part
from raytl.models.fusion import Single
from raytl.models.mappers import Mapper
from raytl.models.transfer_model import TransferModel

IMAGE = "image"


class AsTheyAre(Transform):
    """Rows are float32 x_BCHW, as the first block takes them, also in their layout in memory, by
    which convolutions round."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def prepare(self, values: Any) -> Tensor:
        return torch.from_numpy(values)

    def facts(self) -> dict[str, Any]:
        return {"input_shape": list(self._shape)}

    def example(self, rows: int) -> Tensor:
        return torch.zeros(rows, *self._shape)


def image_model(
    backbone: Backbone,
    shape: Shape,
    mapper: Mapper,
    head: nn.Module,
    frozen: Collection[int] = (),
    transferred: bool = True,
) -> TransferModel:
    """Return a network whose one branch reads x_BCHW of `shape`, (C, H, W), as they are."""
    fresh = frozenset(() if transferred else range(len(backbone.blocks)))
    part = Part(MODALITIES[IMAGE], AsTheyAre(shape), backbone, {}, fresh, draws=bool(fresh))
    fusion = Single({IMAGE: backbone.feature_dim})
    return TransferModel({IMAGE: Branch(part, frozen)}, fusion, mapper, head)
