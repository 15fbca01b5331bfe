"""What `dataset.json` says of a dataset folder.

A dataset is a folder of Arrow IPC files, one record batch each, and `dataset.json`.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from raytl.data.columns import AnyColumn
from raytl.errors import CorruptError, DataError
from raytl.files import digest_of
from raytl.modalities.column import Column
from raytl.remote_files import read_text
from raytl.urls import Place, Url

FILE_NAME = "dataset.json"
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)  # version 1 knew images and labels alone, described in the same words
ID = "id"  # the column that every shard has besides those of `columns`


def plain_name(name: str) -> str:
    """Return `name`, which files are named after; ValueError unless it is letters (a to z), digits,
    _ and -."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError("a split's name must be letters (a to z), digits, _ and - alone")
    return name


def column_name(name: str) -> str:
    """Return `name`; ValueError unless it is letters (a to z), digits, _ and -, and not `id`."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == ID:
        raise ValueError(
            f"a column's name must be letters (a to z), digits, _ and - alone, and not {ID}, got "
            f"'{name}'"
        )
    return name


SplitName = Annotated[str, AfterValidator(plain_name)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    columns: Annotated[
        dict[Annotated[str, AfterValidator(column_name)], AnyColumn], Field(min_length=1)
    ]
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


def column_facts(column: Column) -> dict[str, Any]:
    """Return what tells a column from another, ready for JSON. Fields at their defaults are left
    out, so that a field which is added later changes nothing."""
    return {"kind": column.kind} | column.model_dump(mode="json", exclude_defaults=True)


def fingerprint_of(columns: Mapping[str, Column], splits: dict[str, SplitInfo]) -> str:
    """Return the SHA-256 over the columns and every shard's SHA-256."""
    content = {
        "columns": {name: column_facts(column) for name, column in columns.items()},
        "shards": {name: [s.sha256 for s in split.shards] for name, split in splits.items()},
    }
    return digest_of(content)


def read_info(path: Place) -> DatasetInfo:
    """Read and check `dataset.json`. Raises DataError where there is none, CorruptError where it
    does not hold, RaytlError where a URL cannot be reached."""
    place = path.shown if isinstance(path, Url) else str(path.absolute())
    file = f"{place}/{FILE_NAME}"
    try:
        data = json.loads(read_text(path / FILE_NAME))
    except FileNotFoundError:
        raise DataError(
            f"{place}: no dataset here ({FILE_NAME} is missing); make one with "
            f"`raytl shard KIND SOURCE {path}`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(f"{file}: cannot be read: {error}; shard the dataset again") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if version not in READ_VERSIONS:
        raise DataError(
            f"{file}: format_version {version} is none of {', '.join(map(str, READ_VERSIONS))}, "
            "those that this raytl reads; shard the dataset again or use a matching raytl"
        )
    data.pop("task", None)  # of version 1
    try:
        return DatasetInfo.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        columns = first["loc"][:1] == ("columns",)
        # Third comes a column's kind again, as pydantic names the members of a union
        loc = (*first["loc"][:2], *first["loc"][3:]) if columns else first["loc"]
        key = ".".join(map(str, loc))
        place = f"{file}: {key}" if key else file
        what = first["msg"].removeprefix("Value error, ")
        raise CorruptError(f"{place}: {what}; shard the dataset again") from None
