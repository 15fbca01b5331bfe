"""Source models of images without a dataset: fresh ones, and whole ones in a folder."""

from pathlib import Path
from typing import Any

from raytl.config import HeadConfig, MapperConfig, SourceModelConfig
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.models.branch import Branch
from raytl.models.fusion import Single
from raytl.models.mappers import build_mapper
from raytl.models.source_model import SourceModel, load_source_model, save_source_model
from raytl.models.source_spec import SourceSpec
from raytl.models.transfer_model import TransferModel
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn

Shape = tuple[int, int, int]  # (C, H, W)
GREY, COLOUR = (1, 16, 16), (3, 32, 32)
MAPPER, HEAD = MapperConfig(name="linear", out=6), HeadConfig()
TASK = Classification(LabelColumn(classes=("a", "b", "c")))


def images_of(shape: Shape) -> dict[str, Column]:
    channels, height, width = shape
    return {"image": ImageColumn(shape=(height, width, channels), dtype="uint8")}


def unread(column: str) -> Values:
    raise AssertionError(f"images are fitted to nothing, but {column} was read")


def load_of(config: SourceModelConfig, shape: Shape = GREY, seed: int = 0) -> SourceModel:
    """Load a source model for images of (C, H, W)."""
    return load_source_model("m", config, images_of(shape), unread, seed)


def fresh(seed: int = 1, **more: Any) -> SourceModel:
    plain: dict[str, Any] = {"backbone": "small_cnn", "args": {"width": 4}}
    return load_of(SourceModelConfig(**(plain | more)), GREY, seed)


def whole_model(model: SourceModel) -> tuple[TransferModel, SourceSpec]:
    """Return a source model with mapper and head behind it, and what is said of it."""
    part = model.parts["image"]
    mapper = build_mapper(MAPPER, part.backbone.feature_dim)
    head = TASK.head(HEAD, mapper.out_dim)
    fusion = Single({"image": part.backbone.feature_dim})
    told = {"task": dict(TASK.facts()), "mapper": MAPPER, "head": HEAD}
    spec = model.spec.model_copy(update=told)
    return TransferModel({"image": Branch(part, ())}, fusion, mapper, head), spec


def save_whole(out: Path) -> Path:
    """Write a source model that can predict."""
    save_source_model(out, *whole_model(fresh()))
    return out
