"""Reading a dataset: memory-mapped shards and batched index reads.

Legend: N rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.group_column import GroupColumn
from raytl.data.held_rows import HeldRows
from raytl.data.schema import ID, DatasetInfo, ShardInfo, SplitInfo, read_info
from raytl.data.shard_files import FETCHERS, ShardFiles, shard_files
from raytl.data.verification import Progress
from raytl.errors import DataError
from raytl.modalities.column import Column, Read, Values
from raytl.urls import Place, Url, place_of

Numbers = Sequence[int] | np.ndarray | range
Shard = tuple[int, pa.RecordBatch]  # its number within the split
HELD = 4  # sets of rows of a split that a process holds: training and validation, of two draws


class Dataset:
    """A dataset, in a folder or behind a URL."""

    def __init__(self, path: Place, info: DatasetInfo) -> None:
        self.path, self.info = path, info
        self._splits: dict[str, Split] = {}  # kept: each is verified and mapped once
        self._files = shard_files(path, info.columns, self.bytes)

    @classmethod
    def open(cls, path: Place | str) -> "Dataset":
        """Open a dataset; raises DataError where there is none, CorruptError where a folder's shard
        is missing or truncated, RaytlError where a URL cannot be reached. What shards hold is
        verified when a split is first read, once per copy."""
        path = place_of(path) if isinstance(path, str) and not isinstance(path, Url) else path
        dataset = cls(path, read_info(path))
        if isinstance(path, Path):  # behind a URL each trial would ask anew for all of them
            dataset._files.check(dataset._shards())
        return dataset

    @property
    def fingerprint(self) -> str:
        return self.info.fingerprint

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column by name."""
        return self.info.columns

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the columns that can be learnt from."""
        return tuple(n for n, c in self.columns.items() if not c.is_target and n != self.group)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the columns that can be learnt."""
        return tuple(name for name, column in self.columns.items() if column.is_target)

    @property
    def group(self) -> str | None:
        """The name of the column that says which rows belong together, if there is one."""
        groups = (name for name, c in self.columns.items() if isinstance(c, GroupColumn))
        return next(groups, None)

    @property
    def kept(self) -> bool:
        """Whether a node keeps all shards once it has read them."""
        return self._files.kept

    @property
    def room(self) -> int:
        """How many bytes of shards a node may keep."""
        return self._files.room

    @property
    def bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.bytes for shard in self._shards())

    def split(self, name: str) -> "Split":
        """Return a split; raises DataError that lists the known ones."""
        if name not in self.info.splits:
            raise DataError(
                f"{self.path}: unknown split '{name}'; {nearest(name, list(self.info.splits))}"
            )
        if name not in self._splits:
            info = self.info.splits[name]
            self._splits[name] = Split(name, info, self.columns, self.group, self._files)
        return self._splits[name]

    def _shards(self) -> list[ShardInfo]:
        return [shard for split in self.info.splits.values() for shard in split.shards]

    def verify(self, progress: Progress = lambda num_bytes: None) -> None:
        """Read every shard and compare it with `dataset.json`, whatever was verified before;
        CorruptError for the first that differs."""
        self._files.verify(self._shards(), progress)

    def ensure_verified(self) -> None:
        """Verify the shards that were not verified on this machine since they were written. Behind
        a URL all must be there; what they hold is verified when they are fetched."""
        self._files.check(self._shards())
        self._files.ensure(self._shards())


class Split:
    """One split of a dataset: its shards are fetched, verified and memory-mapped as their rows are
    asked for. Sent to another process it is opened anew there."""

    def __init__(
        self,
        name: str,
        info: SplitInfo,
        columns: Mapping[str, Column],
        group: str | None,
        files: ShardFiles,
    ) -> None:
        self._columns, self._group, self._files = columns, group, files
        self.name, self.rows, self.info = name, info.rows, info
        self._batches: dict[int, pa.RecordBatch] = {}  # those that this machine keeps
        self._readers: dict[str, Read] = {}  # once all of them are there
        self._held: dict[bytes, HeldRows] = {}  # the last used last

    def __reduce__(self) -> tuple[type["Split"], tuple[Any, ...]]:
        return Split, (self.name, self.info, self._columns, self._group, self._files)

    @property
    def bytes(self) -> int:
        """Bytes of the split's shards."""
        return sum(shard.bytes for shard in self.info.shards)

    @property
    def kept(self) -> bool:
        """Whether a node keeps all of the split's shards once it has read them."""
        return self._files.kept

    @cached_property
    def ends(self) -> np.ndarray:
        """How many rows stand in the shards up to each, (S,): where the stored rows part."""
        return np.cumsum([shard.rows for shard in self.info.shards])

    def read(self, column: str, rows: Numbers) -> Values:
        """Return the values of a column in these rows, copied out of the mapped shards. Raises as
        `Dataset.verify`, and RaytlError where a URL cannot be reached."""
        numbers = np.asarray(rows, dtype=np.int64)
        if column not in self._readers:
            wanted = self._wanted(numbers)
            if not self._files.kept:
                return self._read_by_shard(column, numbers, self._passing(wanted))
            self._keep(wanted)
            if len(self._batches) < len(self.info.shards):
                found = ((number, self._batches[number]) for number in wanted)
                return self._read_by_shard(column, numbers, found)
            arrays = [self._batches[i].column(column) for i in range(len(self.info.shards))]
            self._readers[column] = self._columns[column].reader(arrays)
        return self._readers[column](numbers)

    def held(self, rows: np.ndarray) -> HeldRows:
        """Return rows that are read once for all who ask for these very ones; of the last HELD such
        sets."""
        numbers = np.unique(rows)
        key = numbers.tobytes()
        found = self._held.pop(key) if key in self._held else HeldRows(self, numbers)
        self._held[key] = found
        for oldest in list(self._held)[:-HELD]:
            del self._held[oldest]
        return found

    def _wanted(self, rows: np.ndarray) -> Sequence[int]:
        """Return the numbers of the shards that hold these rows, of all of them where the dataset
        is a folder."""
        if self._files.whole:
            return range(len(self.info.shards))
        found: list[int] = np.unique(np.searchsorted(self.ends, rows, side="right")).tolist()
        return found or [0]  # no rows have the type of any

    def _keep(self, wanted: Sequence[int]) -> None:
        missing = [number for number in wanted if number not in self._batches]
        if missing:
            batches = self._files.batches([self.info.shards[number] for number in missing])
            self._batches |= zip(missing, batches, strict=True)

    def _passing(self, wanted: Sequence[int]) -> Iterator[Shard]:
        """Yield shards, of which but a few are at hand at once."""
        for start in range(0, len(wanted), FETCHERS):
            few = wanted[start : start + FETCHERS]
            batches = self._files.batches([self.info.shards[number] for number in few])
            yield from zip(few, batches, strict=True)

    def _read_by_shard(self, column: str, rows: np.ndarray, shards: Iterable[Shard]) -> Values:
        of, shard_of = self._columns[column], np.searchsorted(self.ends, rows, side="right")
        parts, places = [], []
        for number, batch in shards:
            own = np.flatnonzero(shard_of == number)
            first = self.ends[number] - self.info.shards[number].rows
            parts.append(of.reader([batch.column(column)])(rows[own] - first))
            places.append(own)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts)[np.argsort(np.concatenate(places))]

    def all(self, column: str) -> Values:
        """Return the values of a column in every row. Of targets and groups nothing else is
        read."""
        of = self._columns[column]
        if of.is_target or column == self._group:
            return of.reader(self._few(column))(np.arange(self.rows))
        return self.read(column, np.arange(self.rows))

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.concatenate([np.from_dlpack(array) for array in self._few(ID)])

    def _few(self, column: str) -> list[pa.Array]:
        """Return what the shards hold in a column whose values are small."""
        if self._files.whole:
            self._keep(range(len(self.info.shards)))
            return [self._batches[i].column(column) for i in range(len(self.info.shards))]
        return self._files.few(self.info.shards, column)

    def ids(self) -> np.ndarray:
        """Return every row's id, int64 (N,)."""
        return self._ids

    def groups(self) -> np.ndarray | None:
        """Return the number of every row's group, int64 (N,), where the dataset has groups."""
        return None if self._group is None else self.all(self._group)
