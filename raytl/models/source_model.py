"""Source models: load, save, verify.

A source model is a folder of `model.safetensors` and `source.json`, or torchvision's weights by
name, or a local state dict, or a fresh network.
"""

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raytl.config import Normalization, SourceModelConfig
from raytl.errors import CorruptError, ModelError
from raytl.folders import new_folder
from raytl.models.backbones import Backbone, backbone_spec, build_backbone, input_shape_for
from raytl.models.backbones.base import Shape
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.source_spec import (
    SPEC_FILE,
    WEIGHTS_FILE,
    SourceSpec,
    check_channels,
    check_head,
    read_spec,
    sha256_of,
    verify_source_model,
)
from raytl.models.transfer_model import TransferModel
from raytl.models.weights import check_weights, with_weights
from raytl.state_dicts import load_strictly

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass
class SourceModel:
    """A backbone and what is known of it. `transferred` is False for fresh weights."""

    name: str
    backbone: Backbone
    spec: SourceSpec
    transferred: bool

    def clone(self) -> "SourceModel":
        """Return a copy whose weights are its own."""
        return SourceModel(self.name, copy.deepcopy(self.backbone), self.spec, self.transferred)


def describe_source_model(name: str, config: SourceModelConfig, image_shape: Shape) -> SourceSpec:
    """Return the spec of a source model without reading its weights.

    `image_shape`: (C, H, W) of the target's images. Raises ModelError where it does not fit them.
    """
    if config.path is not None:
        spec = read_spec(config.path)
        shape = input_shape_for(spec.backbone, image_shape)
        if spec.input_shape[0] != shape[0] and {spec.input_shape[0], shape[0]} != {1, 3}:
            raise ModelError(
                f"{config.path} takes {spec.input_shape[0]} channels, but the images have "
                f"{image_shape[0]}; only grey and colour are converted"
            )
        return spec
    return _spec(config, _built(config, image_shape, seed=0))


def load_source_model(
    name: str, config: SourceModelConfig, image_shape: Shape, seed: int
) -> SourceModel:
    """Load a source model for images of (C, H, W) `image_shape`; fresh weights come from `seed`.

    The global random state is left alone. Raises ModelError where weights do not fit, CorruptError
    where a stored folder is broken, RaytlError where a download fails.
    """
    if config.path is not None:
        spec = describe_source_model(name, config, image_shape)
        backbone = _stored_backbone(config.path, spec, _read_weights(config.path), seed)
        return SourceModel(name, backbone, spec, transferred=True)
    backbone = _built(config, image_shape, seed)
    if config.weights is not None:
        backbone = with_weights(backbone, config, backbone.input_shape)
    spec = _spec(config, backbone)
    return SourceModel(name, backbone, spec, transferred=config.weights is not None)


@lru_cache(maxsize=32)
def _cached(name: str, config_json: str, image_shape: Shape, seed: int) -> SourceModel:
    config = SourceModelConfig.model_validate_json(config_json)
    return load_source_model(name, config, image_shape, seed)


def cached_source_model(
    name: str, config: SourceModelConfig, image_shape: Shape, seed: int
) -> SourceModel:
    """Return `load_source_model`'s result, kept for the next trial of this process; `clone` it
    before training."""
    return _cached(name, config.model_dump_json(), image_shape, seed if config.is_fresh else 0)


def save_source_model(
    out: Path,
    *,
    backbone: Backbone,
    spec: SourceSpec,
    mapper: nn.Module,
    head: nn.Module,
    force: bool = False,
) -> SourceSpec:
    """Write a source model with its mapper and head, whole or not at all; return its final spec.

    Raises UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    parts = {"backbone": backbone, "mapper": mapper, "head": head}
    tensors = {
        f"{part}.{key}": value.detach().cpu().contiguous().clone()
        for part, module in parts.items()
        for key, value in module.state_dict().items()
    }
    with new_folder(out, force) as folder:
        try:
            save_file(tensors, folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(None, str(error)) from None
        final = spec.model_copy(update={"weights_sha256": sha256_of(folder / WEIGHTS_FILE)})
        text = json.dumps(final.model_dump(mode="json"), indent=1)
        (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    return final


def open_source_model(path: Path) -> tuple[Backbone, SourceSpec]:
    """Load a source model's folder and compare what it says of itself with what it holds.

    Raises ModelError where there is none, CorruptError where it is broken.
    """
    spec, tensors = verify_source_model(path), _read_weights(path)
    strange = [key for key in tensors if not key.startswith(("backbone.", "mapper.", "head."))]
    if strange:
        raise CorruptError(
            f"{path / WEIGHTS_FILE}: '{strange[0]}' belongs to no part of a source model; copy or "
            "make it again"
        )
    if spec.complete:
        return load_complete_model(path)[0].backbone, spec
    return _stored_backbone(path, spec, tensors, seed=0), spec


def inspect_source_model(path: Path) -> dict[str, Any]:
    """Return what a source model's folder holds, ready for JSON; raises as `open_source_model`."""
    backbone, spec = open_source_model(path)
    facts = spec.model_dump(mode="json", exclude_none=True)
    count = sum(parameter.numel() for parameter in backbone.parameters())
    return {"path": str(path)} | facts | {"backbone_parameters": count, "verified": True}


def load_complete_model(path: Path) -> tuple[TransferModel, SourceSpec]:
    """Load backbone, mapper and head. Raises ModelError where the folder has no head, CorruptError
    where it is broken."""
    spec, tensors = verify_source_model(path), _read_weights(path)
    check_head(spec, path)
    assert spec.mapper is not None and spec.head is not None and spec.classes is not None
    backbone = _stored_backbone(path, spec, tensors, seed=0)
    with torch.random.fork_rng(devices=[]), _as_stored(path):
        mapper = build_mapper(spec.mapper, backbone.feature_dim)
        head = build_head(spec.head, mapper.out_dim, len(spec.classes))
    for part, module in (("mapper", mapper), ("head", head)):
        _load_part(part, module, tensors, path)
    return TransferModel(backbone, mapper, head, (), transferred=True), spec


def _stored_backbone(
    path: Path, spec: SourceSpec, tensors: dict[str, Tensor], seed: int
) -> Backbone:
    """Build the network that `source.json` names, compare the two, and load its weights."""
    with _as_stored(path):
        backbone = _build_seeded(spec.backbone, spec.input_shape, spec.args, seed)
    for what, said, found in (
        ("blocks", spec.blocks, len(backbone.blocks)),
        ("feature_dim", spec.feature_dim, backbone.feature_dim),
    ):
        if said != found:
            raise CorruptError(
                f"{path / SPEC_FILE}: {what} is {said}, but {spec.backbone} with args {spec.args} "
                f"has {found}; copy or make the source model again"
            )
    _load_part("backbone", backbone, tensors, path)
    return backbone


def _load_part(part: str, module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    with _as_stored(path):
        load_strictly(module, _under(tensors, f"{part}."), f"{WEIGHTS_FILE}: {part}")


@contextlib.contextmanager
def _as_stored(path: Path) -> Iterator[None]:
    """What `source.json` names and its weights do not hold is no mistake of the user's."""
    try:
        yield
    except ModelError as error:
        raise CorruptError(
            f"{path}: {SPEC_FILE} and {WEIGHTS_FILE} do not agree: {error}; copy or make the "
            "source model again"
        ) from None


def _origin(config: SourceModelConfig) -> str:
    name = config.torchvision or config.backbone
    assert name is not None
    return name


def _built(config: SourceModelConfig, image_shape: Shape, seed: int) -> Backbone:
    """Build the fresh network of a source model that is no folder."""
    name, shape = _origin(config), _input_shape(config, image_shape)
    if config.normalization is not None:
        try:
            check_channels(config.normalization, shape[0])
        except ValueError as error:
            raise ModelError(str(error)) from None
    check_weights(name, config)
    return _build_seeded(name, shape, config.args, seed)


def _input_shape(config: SourceModelConfig, image_shape: Shape) -> Shape:
    name = _origin(config)
    if config.torchvision is not None and not backbone_spec(name).torchvision:
        raise ModelError(f"'{name}' is not torchvision's; write backbone: {name}")
    return input_shape_for(name, image_shape, config.input_size)


def _spec(config: SourceModelConfig, backbone: Backbone) -> SourceSpec:
    channels = backbone.input_shape[0]
    half = Normalization(mean=(0.5,) * channels, std=(0.5,) * channels)
    usual = IMAGENET if config.weights is not None and channels == 3 else half
    sha = sha256_of(Path(str(config.weights))) if config.has_local_weights else config.weights
    return SourceSpec(
        backbone=backbone.name,
        args=config.args,
        blocks=len(backbone.blocks),
        feature_dim=backbone.feature_dim,
        input_shape=backbone.input_shape,
        normalization=config.normalization or usual,
        trained_on={"weights": config.weights} if config.weights else None,
        weights_sha256=sha,
    )


def _build_seeded(name: str, shape: Shape, args: dict[str, Any], seed: int) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone(name, shape, **args)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CorruptError(
            f"{path / WEIGHTS_FILE}: the weights cannot be read: {error}; "
            "copy or make the source model again"
        ) from None


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
