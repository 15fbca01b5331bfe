"""Networks of one branch of images, for tests of what is behind the branch."""

from collections.abc import Collection

from torch import Tensor, nn

from raytl.modalities.backbone import Backbone
from raytl.modalities.image.spec import Shape
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.registry import MODALITIES
from raytl.models.branch import Branch, Part
from raytl.models.fusion import Single
from raytl.models.mappers import Mapper
from raytl.models.transfer_model import TransferModel
from raytl.rows import Given

IMAGE = "image"


def image_model(
    backbone: Backbone,
    shape: Shape,
    mapper: Mapper,
    head: nn.Module,
    frozen: Collection[int] = (),
    transferred: bool = True,
) -> TransferModel:
    """Return a network whose one branch reads float32 images of `shape` as they are."""
    as_they_are = ImageTransform(shape, [0.0], [1.0])
    part = Part(MODALITIES[IMAGE], as_they_are, backbone, {}, transferred)
    fusion = Single({IMAGE: backbone.feature_dim})
    return TransferModel({IMAGE: Branch(part, frozen)}, fusion, mapper, head)


def stored(x_BCHW: Tensor) -> Given:
    """Return images as a branch is given them, prepared."""
    return Given(x_BCHW.permute(0, 2, 3, 1))
