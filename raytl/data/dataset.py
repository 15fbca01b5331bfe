"""Reading a dataset: memory-mapped shards and batched index reads.

Legend: N rows.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.group_column import GroupColumn
from raytl.data.schema import ID, DatasetInfo, ShardInfo, SplitInfo, read_info
from raytl.data.verification import Progress, ensure_verified, read_shard, verify
from raytl.errors import CorruptError, DataError
from raytl.modalities.column import Column, Read, Values

Numbers = Sequence[int] | np.ndarray | range


class Dataset:
    """A dataset folder, its shards present and of the size that was written."""

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self.path, self.info = path, info
        self._splits: dict[str, Split] = {}  # kept: each is verified and mapped once

    @classmethod
    def open(cls, path: Path | str) -> "Dataset":
        """Open a folder; raises DataError where it is none, CorruptError where a shard is missing
        or truncated. Their content is verified when a split is first read, once per copy."""
        path = Path(path)
        dataset = cls(path, read_info(path))
        for name, split in dataset.info.splits.items():
            for shard in split.shards:
                file = path / shard.file
                found = file.stat().st_size if file.exists() else None
                if found != shard.bytes:
                    what = "is missing" if found is None else f"has {found} bytes"
                    raise CorruptError(
                        f"{file}: shard of split {name} {what}, expected {shard.bytes} bytes; "
                        "copy or shard the dataset again"
                    )
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
            self._splits[name] = Split(self.path, name, info, self.columns, self.group)
        return self._splits[name]

    def _shards(self) -> list[ShardInfo]:
        return [shard for split in self.info.splits.values() for shard in split.shards]

    def verify(self, progress: Progress = lambda num_bytes: None) -> None:
        """Read every shard and compare it with `dataset.json`, whatever was verified before;
        CorruptError for the first that differs."""
        verify(self.path, self._shards(), self.info.columns, progress)

    def ensure_verified(self) -> None:
        """Verify the shards that were not verified on this machine since they were written."""
        ensure_verified(self.path, self._shards(), self.info.columns)


class Split:
    """One split of a dataset, verified and memory-mapped at first use."""

    def __init__(
        self,
        path: Path,
        name: str,
        info: SplitInfo,
        columns: Mapping[str, Column],
        group: str | None,
    ) -> None:
        self._path, self._columns, self._group = path, columns, group
        self.name, self.rows, self.info = name, info.rows, info
        self._readers: dict[str, Read] = {}

    @property
    def bytes(self) -> int:
        """Bytes of the split's shards."""
        return sum(shard.bytes for shard in self.info.shards)

    @cached_property
    def _batches(self) -> list[pa.RecordBatch]:
        ensure_verified(self._path, self.info.shards, self._columns)
        return [
            read_shard(self._path / shard.file, shard.rows, self._columns)
            for shard in self.info.shards
        ]

    def read(self, column: str, rows: Numbers) -> Values:
        """Return the values of a column in these rows, copied out of the mapped shards."""
        if column not in self._readers:
            arrays = [batch.column(column) for batch in self._batches]
            self._readers[column] = self._columns[column].reader(arrays)
        return self._readers[column](np.asarray(rows, dtype=np.int64))

    def all(self, column: str) -> Values:
        """Return the values of a column in every row."""
        return self.read(column, np.arange(self.rows))

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.concatenate([np.from_dlpack(batch.column(ID)) for batch in self._batches])

    def ids(self) -> np.ndarray:
        """Return every row's id, int64 (N,)."""
        return self._ids

    def groups(self) -> np.ndarray | None:
        """Return the number of every row's group, int64 (N,), where the dataset has groups."""
        return None if self._group is None else self.all(self._group)
