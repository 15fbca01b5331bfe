"""Reading a dataset: memory-mapped shards and batched index reads.

Legend: N rows, H height, W width, C channels.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.schema import DatasetInfo, ImageColumn, LabelColumn, SplitInfo, read_info
from raytl.data.writer import sha256_of
from raytl.errors import CorruptError, DataError


class Dataset:
    """A dataset folder, its shards present and of the size that was written."""

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self.path, self.info = path, info

    @classmethod
    def open(cls, path: Path | str) -> "Dataset":
        """Open a folder; raises DataError where it is none, CorruptError where a shard is missing
        or truncated. Checksums are left to `verify`."""
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
        column = self.info.columns["label"]
        assert isinstance(column, LabelColumn)
        return column.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        column = self.info.columns["image"]
        assert isinstance(column, ImageColumn)
        return column.shape

    @property
    def bytes(self) -> int:
        """Bytes of all shards."""
        return sum(s.bytes for split in self.info.splits.values() for s in split.shards)

    def split(self, name: str) -> "Split":
        """Return a split; raises DataError that lists the known ones."""
        if name not in self.info.splits:
            raise DataError(
                f"{self.path}: unknown split '{name}'; {nearest(name, list(self.info.splits))}"
            )
        return Split(self.path, name, self.info.splits[name])

    def verify(self, progress: Callable[[int], None] = lambda num_bytes: None) -> None:
        """Compare every shard with its SHA-256; CorruptError for the first that differs."""
        for split in self.info.splits.values():
            for shard in split.shards:
                found = sha256_of(self.path / shard.file)
                if found != shard.sha256:
                    raise CorruptError(
                        f"{self.path / shard.file}: SHA-256 {found[:12]}… is not "
                        f"{shard.sha256[:12]}… as written; copy or shard the dataset again"
                    )
                progress(shard.bytes)


class Split:
    """One split of a dataset, memory-mapped at first use."""

    def __init__(self, path: Path, name: str, info: SplitInfo) -> None:
        self.name, self.rows, self.info = name, info.rows, info
        self.shard_paths = [path / shard.file for shard in info.shards]
        self._ends = np.cumsum([shard.rows for shard in info.shards])

    @property
    def bytes(self) -> int:
        """Bytes of the split's shards."""
        return sum(shard.bytes for shard in self.info.shards)

    @cached_property
    def _batches(self) -> list[pa.RecordBatch]:
        return [
            read_shard(path, s.rows)
            for path, s in zip(self.shard_paths, self.info.shards, strict=True)
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


def read_shard(path: Path, rows: int) -> pa.RecordBatch:
    """Return a memory-mapped shard's one record batch; CorruptError where not whole."""
    try:
        with pa.memory_map(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptError(
            f"{path}: not a whole Arrow file: {error}; copy or shard the dataset again"
        ) from None
    if batch.num_rows != rows:
        raise CorruptError(f"{path}: has {batch.num_rows} rows, expected {rows}")
    return batch
