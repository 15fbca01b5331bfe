"""What `dataset.json` says of a dataset folder.

A dataset is a folder of Arrow IPC files, one record batch each, and `dataset.json`. Images are
stored H × W × C: permuted to C × H × W they are channels-last tensors, with no copy.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raytl.errors import CorruptError, DataError

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageColumn(_Part):
    """Tensors of one shape (H, W, C)."""

    kind: Literal["image"] = "image"
    shape: tuple[int, int, int]
    dtype: Literal["uint8", "float32"]


class LabelColumn(_Part):
    """Class numbers; `classes[k]` is the name of class k."""

    kind: Literal["label"] = "label"
    classes: tuple[str, ...]


Column = Annotated[ImageColumn | LabelColumn, Field(discriminator="kind")]


class ShardInfo(_Part):
    """One Arrow file."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+-\d{5}-of-\d{5}\.arrow$")]
    rows: int
    bytes: int
    sha256: str


class SplitInfo(_Part):
    """One split, such as train."""

    rows: int
    shards: tuple[ShardInfo, ...]


class DatasetInfo(_Part):
    """The content of `dataset.json`. `fingerprint` depends on the columns and the shards' bytes
    alone, so that a copy elsewhere has the same."""

    format_version: int = FORMAT_VERSION
    task: Literal["classification"] = "classification"
    columns: dict[str, Column]
    splits: dict[str, SplitInfo]
    origin: dict[str, Any]
    fingerprint: str


def fingerprint_of(columns: dict[str, Any], splits: dict[str, SplitInfo]) -> str:
    """Return the SHA-256 over the columns and every shard's SHA-256."""
    content = {
        "columns": {name: column.model_dump(mode="json") for name, column in columns.items()},
        "shards": {name: [s.sha256 for s in split.shards] for name, split in splits.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_info(path: Path) -> DatasetInfo:
    """Read and check `dataset.json`. Raises DataError where there is none, CorruptError where it
    does not hold."""
    file = path / FILE_NAME
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path.absolute()}: no dataset here ({FILE_NAME} is missing); make one with "
            f"`raytl shard KIND SOURCE {path}`"
        ) from None
    except (OSError, ValueError) as error:
        raise CorruptError(f"{file}: cannot be read: {error}; shard the dataset again") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file}: format_version {version} is not {FORMAT_VERSION}, the one this raytl reads; "
            "shard the dataset again or use a matching raytl"
        )
    try:
        return DatasetInfo.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CorruptError(f"{file}: {place}: {first['msg']}; shard the dataset again") from None
