"""Source models: load, save, verify.

A source model is a folder of `model.safetensors` and `source.json`, or torchvision's weights by
name, or a local state dict, or a fresh network.
"""

import copy
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raytl.config import HeadConfig, MapperConfig, Normalization, SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.folders import new_folder
from raytl.models.backbones import Backbone, backbone_spec, build_backbone, input_shape_for
from raytl.models.backbones.base import Shape
from raytl.models.backbones.tv import from_network
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.state_dicts import load_strictly, read_state_dict
from raytl.models.transfer_model import TransferModel

WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "source.json"
IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class SourceSpec(BaseModel):
    """The content of `source.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    backbone: str
    args: dict[str, Any] = {}
    blocks: int
    feature_dim: int
    input_shape: Shape
    normalization: Normalization
    classes: tuple[str, ...] | None = None
    trained_on: dict[str, Any] | None = None
    score: dict[str, float | None] | None = None
    mapper: MapperConfig | None = None  # with mapper and head, the model can predict
    head: HeadConfig | None = None
    weights_sha256: str | None = None  # None: fresh weights

    @property
    def score_text(self) -> str:
        """The score in words."""
        known = {key: value for key, value in (self.score or {}).items() if value is not None}
        return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in known.items())


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
        shape = input_shape_for(spec.backbone, image_shape, config.input_size)
        if spec.input_shape[0] != shape[0] and {spec.input_shape[0], shape[0]} != {1, 3}:
            raise ModelError(
                f"{config.path} takes {spec.input_shape[0]} channels, but the images have "
                f"{image_shape[0]}; only grey and colour are converted"
            )
        return spec
    backbone, shape = _origin(config), _input_shape(config, image_shape)
    if config.has_local_weights and not Path(str(config.weights)).exists():
        raise ModelError(f"{Path(str(config.weights)).absolute()}: no such weights file")
    with torch.random.fork_rng(devices=[]):
        built = build_backbone(backbone, shape, **config.args)
    return _spec(config, built)


def load_source_model(
    name: str, config: SourceModelConfig, image_shape: Shape, seed: int
) -> SourceModel:
    """Load a source model for images of (C, H, W) `image_shape`; fresh weights come from `seed`.

    The global random state is left alone. Raises ModelError where weights do not fit, CorruptError
    where a stored folder is broken, RaytlError where a download fails.
    """
    if config.path is not None:
        spec, tensors = read_spec(config.path), _read_weights(config.path)
        backbone = _build_seeded(spec.backbone, spec.input_shape, spec.args, seed)
        load_strictly(backbone, _under(tensors, "backbone."), str(config.path))
        return SourceModel(name, backbone, spec, transferred=True)
    shape = _input_shape(config, image_shape)
    backbone = _build_seeded(_origin(config), shape, config.args, seed)
    if config.weights is not None:
        backbone = _with_weights(backbone, config, shape)
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
        final = spec.model_copy(update={"weights_sha256": _sha256(folder / WEIGHTS_FILE)})
        text = json.dumps(final.model_dump(mode="json"), indent=1)
        (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    return final


def read_spec(path: Path) -> SourceSpec:
    """Read `source.json`. Raises ModelError where there is none, CorruptError if broken."""
    file = path / SPEC_FILE
    try:
        return SourceSpec.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.absolute()}: no source model here ({SPEC_FILE} is missing); make one with "
            f"`raytl pretrain --dataset DIR --backbone NAME --out {path}`"
        ) from None
    except (OSError, ValidationError, ValueError) as error:
        raise CorruptError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def verify_source_model(path: Path) -> SourceSpec:
    """Compare the weights with their SHA-256; raises CorruptError where they differ."""
    spec = read_spec(path)
    file = path / WEIGHTS_FILE
    if not file.exists():
        raise CorruptError(f"{file}: the weights are missing; copy or make the source model again")
    found = _sha256(file)
    if found != spec.weights_sha256:
        raise CorruptError(
            f"{file}: SHA-256 {found[:12]}… is not {str(spec.weights_sha256)[:12]}… as written; "
            "copy or make the source model again"
        )
    return spec


def describe(path: Path) -> dict[str, Any]:
    """Return what a source model's folder holds, ready for JSON."""
    return {"path": str(path)} | read_spec(path).model_dump(mode="json", exclude_none=True)


def load_complete_model(path: Path) -> tuple[TransferModel, SourceSpec]:
    """Load backbone, mapper and head. Raises ModelError where the folder has no head."""
    spec, tensors = verify_source_model(path), _read_weights(path)
    if spec.mapper is None or spec.head is None or spec.classes is None:
        raise ModelError(f"{path}: has no head, so it cannot predict; use a run's best/")
    backbone = build_backbone(spec.backbone, spec.input_shape, **spec.args)
    mapper = build_mapper(spec.mapper, backbone.feature_dim)
    head = build_head(spec.head, mapper.out_dim, len(spec.classes))
    parts = (("backbone", backbone), ("mapper", mapper), ("head", head))
    for part, module in parts:
        load_strictly(module, _under(tensors, f"{part}."), str(path))
    return TransferModel(backbone, mapper, head, (), transferred=True), spec


def _origin(config: SourceModelConfig) -> str:
    name = config.torchvision or config.backbone
    assert name is not None
    return name


def _input_shape(config: SourceModelConfig, image_shape: Shape) -> Shape:
    name = _origin(config)
    if config.torchvision is not None and not backbone_spec(name).torchvision:
        raise ModelError(f"'{name}' is not torchvision's; write backbone: {name}")
    return input_shape_for(name, image_shape, config.input_size)


def _spec(config: SourceModelConfig, backbone: Backbone) -> SourceSpec:
    channels = backbone.input_shape[0]
    half = Normalization(mean=(0.5,) * channels, std=(0.5,) * channels)
    usual = IMAGENET if config.weights is not None and channels == 3 else half
    sha = _sha256(Path(str(config.weights))) if config.has_local_weights else config.weights
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


def _with_weights(backbone: Backbone, config: SourceModelConfig, shape: Shape) -> Backbone:
    spec = backbone_spec(backbone.name)
    if not config.has_local_weights:
        return from_network(backbone.name, _downloaded(config), shape)
    state = read_state_dict(Path(str(config.weights)))
    if spec.load is not None:
        try:
            spec.load(backbone, state)
        except RuntimeError as error:
            raise ModelError(f"{config.weights}: the weights do not fit: {error}") from None
        return backbone
    if not spec.torchvision:
        load_strictly(backbone, state, str(config.weights))
        return backbone
    import torchvision

    # torchvision's own names: load the whole network, classifier included, and cut it.
    classes = _classifier_width(state)
    network = torchvision.models.get_model(
        backbone.name, weights=None, num_classes=classes, **_image_size(backbone.name, shape),
        **config.args,
    )  # fmt: skip
    load_strictly(network, state, str(config.weights))
    return from_network(backbone.name, network, shape)


def _image_size(name: str, shape: Shape) -> dict[str, int]:
    return {"image_size": shape[1]} if name.startswith("vit") else {}


def _classifier_width(state: dict[str, Tensor]) -> int:
    """The classifier's weight is the last matrix or convolution of the file."""
    return next((len(v) for v in reversed(state.values()) if v.dim() >= 2), 1000)


def _downloaded(config: SourceModelConfig) -> nn.Module:
    import torchvision

    name = _origin(config)
    members = torchvision.models.get_model_weights(name)
    if config.weights != "DEFAULT" and config.weights not in members.__members__:
        raise ModelError(
            f"{name} has no weights '{config.weights}'; known: DEFAULT, "
            f"{', '.join(members.__members__)}, or a .pth file"
        )
    try:
        return torchvision.models.get_model(name, weights=config.weights, **config.args)
    except OSError as error:
        raise RaytlError(
            f"{name}: cannot download weights {config.weights}: {error}; give a local .pth file "
            "in weights"
        ) from None


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
