"""What `dataset.json` says of a dataset folder.

A dataset is a folder of Arrow IPC files, one record batch each, and `dataset.json`. Images are
stored H × W × C: permuted to C × H × W they are channels-last tensors, with no copy.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from raytl.errors import CorruptError, DataError
from raytl.files import digest_of

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1


def plain_name(name: str) -> str:
    """Return `name`, which files are named after; ValueError unless it is letters (a to z), digits,
    _ and -."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError("a split's name must be letters (a to z), digits, _ and - alone")
    return name


SplitName = Annotated[str, AfterValidator(plain_name)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageColumn(_Part):
    """Tensors of one shape (H, W, C)."""

    kind: Literal["image"] = "image"
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    dtype: Literal["uint8", "float32"]


class LabelColumn(_Part):
    """Class numbers; `classes[k]` is the name of class k."""

    kind: Literal["label"] = "label"
    classes: Annotated[tuple[str, ...], Field(min_length=1)]


class Columns(_Part):
    """What every row has, besides its id."""

    image: ImageColumn
    label: LabelColumn


class ShardInfo(_Part):
    """One Arrow file."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+-\d{5}-of-\d{5}\.arrow$")]
    rows: PositiveInt
    bytes: PositiveInt
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SplitInfo(_Part):
    """One split, such as train."""

    rows: PositiveInt
    shards: Annotated[tuple[ShardInfo, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rows_add_up(self) -> Self:
        found = sum(shard.rows for shard in self.shards)
        if found != self.rows:
            raise ValueError(f"the shards' rows must add up to rows={self.rows}, got {found}")
        return self


class DatasetInfo(_Part):
    """The content of `dataset.json`. `fingerprint` depends on the columns and the shards' bytes
    alone, so that a copy elsewhere has the same."""

    format_version: int = FORMAT_VERSION
    task: Literal["classification"] = "classification"
    columns: Columns
    splits: Annotated[dict[SplitName, SplitInfo], Field(min_length=1)]
    origin: dict[str, Any]
    fingerprint: str

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        counts = Counter(shard.file for split in self.splits.values() for shard in split.shards)
        file, times = counts.most_common(1)[0]
        if times > 1:
            raise ValueError(f"a shard must be listed once, but {file} is listed {times} times")
        expected = fingerprint_of(self.columns, self.splits)
        if self.fingerprint != expected:
            raise ValueError(
                f"the fingerprint of these columns and shards is {expected[:12]}…, "
                f"got {self.fingerprint[:12]}…: something was changed by hand"
            )
        return self


def fingerprint_of(columns: Columns, splits: dict[str, SplitInfo]) -> str:
    """Return the SHA-256 over the columns and every shard's SHA-256."""
    content = {
        "columns": columns.model_dump(mode="json"),
        "shards": {name: [s.sha256 for s in split.shards] for name, split in splits.items()},
    }
    return digest_of(content)


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
    except (OSError, ValueError, RecursionError) as error:
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
        key = ".".join(str(part) for part in first["loc"])
        place = f"{file}: {key}" if key else file
        what = first["msg"].removeprefix("Value error, ")
        raise CorruptError(f"{place}: {what}; shard the dataset again") from None
