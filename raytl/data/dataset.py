"""Reading a dataset: memory-mapped shards and batched index reads.

Legend: N rows, H height, W width, C channels.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.schema import Columns, DatasetInfo, ShardInfo, SplitInfo, read_info
from raytl.data.verification import Progress, ensure_verified, read_shard, verify
from raytl.errors import CorruptError, DataError


class Dataset:
    """A dataset folder, its shards present and of the size that was written."""

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self.path, self.info = path, info

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
    def classes(self) -> tuple[str, ...]:
        return self.info.columns.label.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.info.columns.image.shape

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
        return Split(self.path, name, self.info.splits[name], self.info.columns)

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

    def __init__(self, path: Path, name: str, info: SplitInfo, columns: Columns) -> None:
        self._path, self._columns = path, columns
        self.name, self.rows, self.info = name, info.rows, info
        self._ends = np.cumsum([shard.rows for shard in info.shards])

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

    @cached_property
    def _images(self) -> list[np.ndarray]:
        return [batch.column("image").to_numpy_ndarray() for batch in self._batches]

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([np.from_dlpack(batch.column(name)) for batch in self._batches])

    @cached_property
    def _labels(self) -> np.ndarray:
        return self._column("label")

    @cached_property
    def _ids(self) -> np.ndarray:
        return self._column("id")

    def labels(self) -> np.ndarray:
        """Return every label, int64 (N,)."""
        return self._labels

    def ids(self) -> np.ndarray:
        """Return every row's id, int64 (N,)."""
        return self._ids

    def images(self, indices: Sequence[int] | np.ndarray | range) -> np.ndarray:
        """Return images_NHWC of the rows `indices`, copied out of the mapped shards."""
        index = np.asarray(indices, dtype=np.int64)
        if len(self._images) == 1:
            return self._images[0][index]
        shard_of = np.searchsorted(self._ends, index, side="right")
        out = np.empty((len(index), *self._images[0].shape[1:]), self._images[0].dtype)
        for shard in np.unique(shard_of):
            rows = np.flatnonzero(shard_of == shard)
            start = self._ends[shard] - self.info.shards[shard].rows
            out[rows] = self._images[shard][index[rows] - start]
        return out

    def take(self, indices: Sequence[int] | np.ndarray | range) -> tuple[np.ndarray, np.ndarray]:
        """Return images_NHWC and labels_N of the rows `indices`."""
        return self.images(indices), self._labels[np.asarray(indices, dtype=np.int64)]
