"""Image networks by name: our own, torchvision's, and timm's as `timm/NAME`.

torchvision and timm are imported only where one of their networks is asked for: torchvision loads
torch._dynamo, which takes some seconds in every process.
"""

from functools import cache
from typing import Any

from raytl.config import nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.image.small import cifar_resnet20, lenet, rename_cifar_resnet20, small_cnn
from raytl.modalities.image.spec import BackboneSpec, Shape, building
from raytl.modalities.image.timm_models import TIMM, timm_names, timm_spec
from raytl.modalities.image.tv import build_torchvision, family_of

OWN: dict[str, BackboneSpec] = {
    "lenet": BackboneSpec(lenet, min_side=16),
    "small_cnn": BackboneSpec(small_cnn, min_side=8),
    "cifar_resnet20": BackboneSpec(cifar_resnet20, min_side=8, rename=rename_cifar_resnet20),
}


@cache
def backbones() -> dict[str, BackboneSpec]:
    """Return every backbone by name: our own, and those of torchvision that raytl can cut. Those of
    timm, more than a thousand, are named by `timm_names`."""
    import torchvision

    found = dict(OWN)
    for name in torchvision.models.list_models(module=torchvision.models):
        if family_of(name) is not None:
            transformer = name.startswith("vit")
            found[name] = BackboneSpec(
                build_torchvision,
                min_side=32,
                channels=(3,),
                side_multiple=_patch_size(name) if transformer else 1,
                default_side=224 if transformer else None,
                of="torchvision",
            )
    return found


def _patch_size(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def backbone_spec(name: str) -> BackboneSpec:
    """Return a backbone's spec; raises ModelError that names the nearest known."""
    if name in OWN:
        return OWN[name]
    if name.startswith(TIMM):
        return timm_spec(name)
    known = backbones()
    if name not in known:
        raise ModelError(f"unknown backbone '{name}'; {nearest(name, list(known))}")
    return known[name]


def input_shape_for(name: str, image_shape: Shape, side: int | None = None) -> Shape:
    """Return the (C, H, W) that backbone `name` is fed for images of `image_shape`.

    Square: `side`, or else the data's longer side, raised to the least that the backbone takes (and
    to a multiple of a transformer's patch). Grey and colour are converted where the backbone wants
    the other. Raises ModelError where `side` is too small or the channels cannot be converted.
    """
    spec, channels = backbone_spec(name), image_shape[0]
    if spec.channels is not None and channels not in spec.channels:
        if channels not in (1, 3):
            raise ModelError(
                f"{name} takes {' or '.join(map(str, spec.channels))} channels, but the images "
                f"have {channels}; only grey and colour are converted"
            )
        channels = spec.channels[0]
    if side is not None and (side < spec.min_side or side % spec.side_multiple):
        multiple = f" and a multiple of {spec.side_multiple}" if spec.side_multiple > 1 else ""
        raise ModelError(
            f"{name} takes images of {spec.min_side} pixels a side at least{multiple}, but got "
            f"input_size={side}; raise it or leave it out"
        )
    wanted = side or spec.default_side or max(*image_shape[1:], spec.min_side)
    return channels, wanted, wanted


def build_backbone(name: str, input_shape: Shape, /, **args: Any) -> Backbone:
    """Build backbone `name` with fresh weights for inputs of (C, H, W).

    Raises ModelError for an unknown name or argument, or a shape that does not fit.
    """
    spec = backbone_spec(name)
    with building(name, input_shape, args):
        return spec.build(name, input_shape, **args)


__all__ = ["OWN", "backbone_spec", "backbones", "build_backbone", "input_shape_for", "timm_names"]
