"""What `source.json` says of a source model. Reading it loads no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from raytl.config import FusionConfig, HeadConfig, MapperConfig, Normalization, task_kind
from raytl.config.source_model import SPEC_FILE, WEIGHTS_FILE
from raytl.errors import CorruptError, MissingModelError, ModelError
from raytl.files import sha256_of

IMAGE = "image"  # the column that version 1 knew alone


class PartSpec(BaseModel):
    """What a source model has for one column. `transform`: what its rows' transform is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str
    backbone: str
    args: dict[str, Any] = {}
    blocks: PositiveInt
    feature_dim: PositiveInt
    transform: dict[str, Any]
    note: str | None = None  # what became of it where it reads another column than it was made for


class RowsSpec(BaseModel):
    """How the rows were stored that a head was trained on, so that raw files can be read alike:
    their `columns` as `dataset.json` has them, the kind of files that they came from, and the
    `options` by which those were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, dict[str, Any]]
    kind: str
    options: dict[str, Any] = {}


class SourceSpec(BaseModel):
    """The content of `source.json`. `parts` are keyed by column; `task` is what the head was
    trained for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[2] = 2
    parts: Annotated[dict[str, PartSpec], Field(min_length=1)]
    task: dict[str, Any] | None = None
    trained_on: dict[str, Any] | None = None
    score: dict[str, float | None] | None = None
    fusion: FusionConfig = FusionConfig()  # of several parts
    mapper: MapperConfig | None = None  # with mapper, head and task, the model can predict
    head: HeadConfig | None = None
    rows: RowsSpec | None = None  # None: written before it was kept
    weights_sha256: str | None = None  # None: fresh weights

    @field_validator("task")
    @classmethod
    def _is_known(cls, task: dict[str, Any] | None) -> dict[str, Any] | None:
        if task is not None:
            task_kind(task)
        return task

    @model_validator(mode="before")
    @classmethod
    def _version_1(cls, data: Any) -> Any:
        """Version 1 had one part, of images, and classes."""
        if not isinstance(data, Mapping) or data.get("format_version") != 1:
            return data
        return _from_version_1(SpecV1.model_validate(data))

    @property
    def complete(self) -> bool:
        """Whether mapper and head are there too, so that it can predict."""
        return None not in (self.mapper, self.head, self.task)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes that it predicts, if it does."""
        return tuple(self.task["classes"]) if self.task and "classes" in self.task else None

    @property
    def blocks(self) -> int:
        """The blocks of its longest part."""
        return max(part.blocks for part in self.parts.values())

    @property
    def backbone(self) -> str:
        """What its backbones are called."""
        return " + ".join(part.backbone for part in self.parts.values())

    @property
    def score_text(self) -> str:
        """The score in words."""
        return score_text(self.score or {})


def score_text(score: Mapping[str, float | None]) -> str:
    """Return scores by name in words."""
    known = {key: value for key, value in score.items() if value is not None}
    return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in known.items())


class SpecV1(BaseModel):
    """The content of `source.json` in version 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    backbone: str
    args: dict[str, Any] = {}
    blocks: PositiveInt
    feature_dim: PositiveInt
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]  # (C, H, W)
    normalization: Normalization
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    trained_on: dict[str, Any] | None = None
    score: dict[str, float | None] | None = None
    mapper: MapperConfig | None = None
    head: HeadConfig | None = None
    weights_sha256: str | None = None

    @model_validator(mode="after")
    def _fits_channels(self) -> "SpecV1":
        check_channels(self.normalization, self.input_shape[0])
        return self


def _from_version_1(old: SpecV1) -> dict[str, Any]:
    of = old.normalization
    part = {
        "modality": IMAGE,
        "backbone": old.backbone,
        "args": old.args,
        "blocks": old.blocks,
        "feature_dim": old.feature_dim,
        "transform": {"input_shape": old.input_shape, "mean": of.mean, "std": of.std},
    }
    kept = ("trained_on", "score", "mapper", "head", "weights_sha256")
    task = old.classes and {"kind": "classification", "classes": list(old.classes)}
    return {"parts": {IMAGE: part}, "task": task} | {name: getattr(old, name) for name in kept}


def check_channels(normalization: Normalization, channels: int) -> None:
    """Raise ValueError where mean and std are neither one nor as many as the channels."""
    found = len(normalization.mean)
    if found not in (1, channels):
        raise ValueError(
            f"normalization: mean and std must be one number or {channels}, as many as the input "
            f"has channels, got {found}"
        )


def read_spec(path: Path) -> SourceSpec:
    """Read `source.json`. Raises MissingModelError where there is none, CorruptError if broken."""
    file = path / SPEC_FILE
    try:
        return SourceSpec.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingModelError(
            f"{path.absolute()}: no source model here ({SPEC_FILE} is missing); make one with "
            f"`raytl pretrain --dataset DIR --backbone NAME --out {path}`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise CorruptError(
            f"{file}: {place}{message}; copy or make the source model again"
        ) from None
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{file}: cannot be read: {str(error).splitlines()[0]}; copy or make the source model "
            "again"
        ) from None


def check_head(spec: SourceSpec, path: Path) -> None:
    """Raise ModelError where a source model cannot predict."""
    if not spec.complete:
        raise ModelError(f"{path}: has no head, so it cannot predict; use a run's best/")


def verify_source_model(path: Path) -> SourceSpec:
    """Compare the weights with their SHA-256; raises CorruptError where they differ."""
    spec = read_spec(path)
    file = path / WEIGHTS_FILE
    if not file.is_file():
        raise CorruptError(f"{file}: the weights are missing; copy or make the source model again")
    found = sha256_of(file)
    if found != spec.weights_sha256:
        raise CorruptError(
            f"{file}: SHA-256 {found[:12]}… is not {str(spec.weights_sha256)[:12]}… as written; "
            "copy or make the source model again"
        )
    return spec
