"""What `source.json` says of a source model. Reading it loads no torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from raytl.config import HeadConfig, MapperConfig, Normalization
from raytl.errors import CorruptError, ModelError
from raytl.files import sha256_of

WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "source.json"


class SourceSpec(BaseModel):
    """The content of `source.json`."""

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
    mapper: MapperConfig | None = None  # with mapper and head, the model can predict
    head: HeadConfig | None = None
    weights_sha256: str | None = None  # None: fresh weights

    @model_validator(mode="after")
    def _fits_channels(self) -> "SourceSpec":
        check_channels(self.normalization, self.input_shape[0])
        return self

    @property
    def complete(self) -> bool:
        """Whether mapper and head are there too, so that it can predict."""
        return None not in (self.mapper, self.head, self.classes)

    @property
    def score_text(self) -> str:
        """The score in words."""
        known = {key: value for key, value in (self.score or {}).items() if value is not None}
        return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in known.items())


def check_channels(normalization: Normalization, channels: int) -> None:
    """Raise ValueError where mean and std are neither one nor as many as the channels."""
    found = len(normalization.mean)
    if found not in (1, channels):
        raise ValueError(
            f"normalization: mean and std must be one number or {channels}, as many as the input "
            f"has channels, got {found}"
        )


def read_spec(path: Path) -> SourceSpec:
    """Read `source.json`. Raises ModelError where there is none, CorruptError if broken."""
    file = path / SPEC_FILE
    try:
        return SourceSpec.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
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
