"""Prefix features of large splits, computed once for all nodes and kept as shards of a dataset are:
one for each shard of the data, with the same rows. No torch here: the driver passes it on.

A split's features stand under their key: shards, beside each a note of what it holds, which comes
after it, and `features.json`, which comes last.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from raytl.data.dataset import Split
from raytl.data.schema import ShardInfo, SplitInfo
from raytl.data.shard_files import shard_files
from raytl.errors import CorruptError
from raytl.modalities.column import Column, Read, Values
from raytl.modalities.ragged import ragged_reader
from raytl.modalities.tensors import tensor_reader
from raytl.remote_files import put_text, read_text
from raytl.urls import Place

FILE = "features.json"
VALUES, LENGTH = "features", "length"  # columns of the shards; lengths where rows differ in size


class FeatureColumn(Column):
    """Features of a row: numbers of one shape, or where rows are of unequal sizes (S, *shape) with
    any S. In memory an array (N, …), or an object array of arrays."""

    kind: Literal["features"] = "features"
    shape: tuple[int, ...]
    dtype: Literal["float32", "int32", "int16"]  # int16: the bits of bfloat16
    ragged: bool = False

    @property
    def arrow_type(self) -> pa.DataType:
        number = pa.from_numpy_dtype(self.dtype)
        if self.ragged:
            return pa.large_list(pa.list_(number, self._numbers))
        return pa.fixed_shape_tensor(number, self.shape)

    @property
    def _numbers(self) -> int:
        return int(np.prod(self.shape))

    @property
    def row_bytes(self) -> int:
        return self._numbers * np.dtype(self.dtype).itemsize

    def check(self, values: Values) -> None:
        """Features are computed, not given: there is nothing to refuse."""

    def to_arrow(self, values: Values, offsets: np.ndarray | None = None) -> pa.Array:
        """Return features as shards hold them, without a copy; of rows of unequal sizes the
        positions of all, (ΣS, …), and `offsets`, (N + 1,)."""
        if offsets is None:
            return pa.FixedShapeTensorArray.from_numpy_ndarray(values)
        items = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values)), self._numbers)
        return pa.LargeListArray.from_arrays(pa.array(offsets.astype(np.int64)), items)

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        if not self.ragged:
            return tensor_reader(arrays)
        read = ragged_reader(arrays)

        def shaped(rows: np.ndarray) -> np.ndarray:
            found = read(rows)
            for place, row in enumerate(found):
                found[place] = row.reshape(-1, *self.shape)
            return found

        return shaped


class LengthColumn(Column):
    """How many positions a row has: read for itself, as a target is."""

    is_target: ClassVar[bool] = True
    kind: Literal["length"] = "length"

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.int64()

    @property
    def row_bytes(self) -> int:
        return 8

    def check(self, values: Values) -> None:
        """Lengths are counted, not given."""

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.array(np.asarray(values, np.int64))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        every = np.concatenate([array.to_numpy() for array in arrays])
        return lambda rows: every[rows]


class ShardNote(BaseModel):
    """What is known of a finished shard of features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: ShardInfo
    column: FeatureColumn


def columns_of(column: FeatureColumn) -> dict[str, Column]:
    """Return the columns of the shards of such features."""
    return {VALUES: column} | ({LENGTH: LengthColumn()} if column.ragged else {})


def note_of(file: str) -> str:
    """Return the name of the note beside a shard."""
    return f"{file}.json"


class Manifest(SplitInfo):
    """The content of `features.json`: a split's features, whole."""

    split: str
    column: FeatureColumn


def write_manifest(place: Place, split: str, notes: Sequence[ShardNote]) -> None:
    """Say that all shards of a split's features are there. `place`: of their key."""
    shards = tuple(note.shard for note in notes)
    rows = sum(shard.rows for shard in shards)
    manifest = Manifest(split=split, rows=rows, shards=shards, column=notes[0].column)
    put_text(manifest.model_dump_json(), place / FILE)


def read_manifest(place: Place) -> Manifest:
    """Return what is said of a split's features. `place`: of their key. Raises CorruptError where
    they are not whole, RaytlError where they cannot be reached."""
    try:
        return Manifest.model_validate_json(read_text(place / FILE))
    except (FileNotFoundError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "not what was written"
        raise CorruptError(
            f"{place / FILE}: {reason}: prefix features are not whole; go on with --resume, which "
            "computes them again"
        ) from None


@dataclass(frozen=True)
class Pooled:
    """The features that are there under `place`, by their `keys`."""

    place: Place
    keys: frozenset[str]

    def holds(self, keys: Collection[str]) -> bool:
        """Whether all of them are there."""
        return self.keys.issuperset(keys)

    def open(self, key: str) -> tuple[Split, FeatureColumn]:
        """Return the features of a split and what they are like, opened once a process. Raises
        CorruptError where they are not what was written, RaytlError where they cannot be
        reached."""
        return _opened(self.place, key)


@lru_cache(maxsize=256)
def _opened(place: Place, key: str) -> tuple[Split, FeatureColumn]:
    manifest = read_manifest(place / key)
    columns = columns_of(manifest.column)
    files = shard_files(place / key, columns, sum(shard.bytes for shard in manifest.shards))
    return Split(manifest.split, manifest, columns, None, files), manifest.column
