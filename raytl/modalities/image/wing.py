"""The wing of images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import AugmentConfig, Normalization, SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.image.augmentation import augment
from raytl.modalities.image.catalogue import (
    backbone_spec,
    backbones,
    build_backbone,
    input_shape_for,
)
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.spec import BackboneSpec
from raytl.modalities.image.timm_models import TIMM, timm_settings
from raytl.modalities.image.transform import ImageTransform, check_channels, pixels, transform_of
from raytl.modalities.image.weights import check_weights, with_weights
from raytl.modalities.stems import Patches
from raytl.rows import Rows

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Image(Modality):
    """Images: our own small networks, torchvision's and timm's.

    `backbone: NAME` (`timm/NAME` for one of timm's) has fresh weights or a local file's;
    `torchvision: NAME` and `timm: NAME` have the weights that are named, or a local file's. In
    folders and `build`, timm's networks are called `timm/NAME`.
    """

    name = "image"
    column = ImageColumn
    packages = ("torchvision", "timm")
    mixes = True
    augments = frozenset({"flip", "crop"})

    def augmented(self, rows: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Tensor:
        """Return images_BHWC flipped and shifted; see `augment`."""
        assert isinstance(rows, Tensor)
        return torch.from_numpy(augment(rows.numpy(), config, draws_B3))

    def backbones(self) -> Mapping[str, BackboneSpec]:
        """Return our own networks and torchvision's; for timm's, see `timm_names`."""
        return backbones()

    def check(self, config: SourceModelConfig) -> None:
        name = backbone_name(config)
        if config.transform:
            raise ModelError(
                f"images take no `transform` options, but got {', '.join(config.transform)}; "
                "input_size and normalization say how they are read"
            )
        check_weights(name, config)

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> ImageTransform:
        """Return the transform for images of `column`; nothing is fitted to `sample`.

        The size is `input_size`, or with timm's networks that have weights timm's own, or else the
        data's (see `input_shape_for`). mean and std are `normalization`, or with weights timm's own
        or ImageNet's, or else 0.5.
        """
        assert isinstance(column, ImageColumn)
        name, (height, width, channels) = backbone_name(config), column.shape
        settings = timm_settings(name) if _has_timm_settings(name, config) else None
        side = config.input_size or (settings.input_size[1] if settings else None)
        shape = input_shape_for(name, (channels, height, width), side)
        if config.normalization is not None:
            try:
                check_channels(config.normalization, shape[0])
            except ValueError as error:
                raise ModelError(str(error)) from None
        self.check(config)
        given = config.normalization or _usual(config, settings, shape[0])
        bicubic = settings is not None and settings.interpolation == "bicubic"
        return ImageTransform(shape, given.mean, given.std, "bicubic" if bicubic else "bilinear")

    def transform(self, facts: Mapping[str, Any]) -> ImageTransform:
        return transform_of(facts)

    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        assert isinstance(transform, ImageTransform)
        return build_backbone(backbone, transform.input_shape, **args)

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        assert isinstance(transform, ImageTransform)
        with torch.random.fork_rng(devices=[]):  # weights are drawn before they are replaced
            return with_weights(backbone_name(config), config, transform.input_shape)

    def stem(
        self, config: SourceModelConfig, column: Column, sample: Sample
    ) -> tuple[Transform, dict[str, Any]]:
        """Square patches of `args.patch` pixels (4); images of `input_size`, or else the data's own
        side, raised to a multiple of it."""
        assert isinstance(column, ImageColumn)
        if config.transform:
            raise ModelError("graft: images take no transform options; give input_size instead")
        args = {"patch": 4} | config.args
        patch = args["patch"]
        if set(args) != {"patch"} or not isinstance(patch, int) or patch < 1:
            raise ModelError(f"graft: args may have patch alone, pixels >= 1, got {config.args}")
        height, width, channels = column.shape
        side = -(-(config.input_size or max(height, width)) // patch) * patch
        given = config.normalization or _usual(config, None, channels)
        return ImageTransform((channels, side, side), given.mean, given.std), args

    def tokens(self, transform: Transform, width: int, args: Mapping[str, Any]) -> nn.Module:
        assert isinstance(transform, ImageTransform)
        return Patches(transform.input_shape[0], args["patch"], width)

    def mix(self, own: np.ndarray, partner: np.ndarray, share: float) -> np.ndarray:
        """Return float32 images_NHWC, in [0, 1] where the given ones are uint8."""
        own_NHWC, partner_NHWC = (pixels(torch.from_numpy(images)) for images in (own, partner))
        return (share * own_NHWC + (1.0 - share) * partner_NHWC).numpy()


def backbone_name(config: SourceModelConfig) -> str:
    """Return the name by which `build` knows the network of a configuration. Raises ModelError
    where images have no such network."""
    if config.timm is not None:
        return TIMM + config.timm
    if config.huggingface is not None:
        raise ModelError(
            f"huggingface: {config.huggingface} is no network for images; take torchvision: or "
            "timm: NAME instead"
        )
    name = config.torchvision or config.backbone
    assert name is not None, "a folder says itself what it holds"
    if config.torchvision is not None and backbone_spec(name).of != "torchvision":
        raise ModelError(f"'{name}' is not torchvision's; write backbone: {name}")
    return name


def _has_timm_settings(name: str, config: SourceModelConfig) -> bool:
    return config.weights is not None and backbone_spec(name).of == "timm"


def _usual(config: SourceModelConfig, settings: Any, channels: int) -> Normalization:
    if settings is not None:
        return Normalization(mean=settings.mean, std=settings.std)
    if config.weights is not None and channels == 3:
        return IMAGENET
    return Normalization(mean=(0.5,) * channels, std=(0.5,) * channels)
