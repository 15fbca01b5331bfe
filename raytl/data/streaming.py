"""The streaming feed: Ray Data over the Arrow shards, for datasets larger than memory.

Each epoch shuffles the order of the files and then the rows within a buffer, both seeded. Ray Data
needs a CPU of its own beside the trial's (`sweeping.resources` leaves one).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from raytl.data.dataset import Split
from raytl.data.feed import Batch
from raytl.seeds import seed_for

if TYPE_CHECKING:
    from ray.data import Dataset as RayDataset

BUFFER_BATCHES = 16  # rows shuffled together, in batches
READ_ROWS = 1024  # rows of one block: what flows between Ray Data's stages


class StreamingFeed:
    """Reads shards as a stream. Rows outside `indices` are dropped by their id."""

    def __init__(
        self, split: Split, indices: np.ndarray, *, labelled: bool, batch_size: int, seed: int
    ) -> None:
        self.rows, self.batch_size = len(indices), batch_size
        self._paths = [str(path) for path in split.shard_paths]
        self._columns = ["id", "image"] + (["label"] if labelled else [])
        self._ids = None if self.rows == split.rows else np.sort(split.ids()[indices])
        self._labelled, self._seed = labelled, seed

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        epoch, skip = divmod(start_step * self.batch_size, self.rows)
        held: Batch | None = None
        while True:
            for batch in self._epoch(epoch):
                batch, skip = _without(batch, skip)
                held = batch if held is None else _joined(held, batch)
                while len(held.id) >= self.batch_size:
                    yield _rows(held, 0, self.batch_size)
                    held = _rows(held, self.batch_size, len(held.id))
            epoch += 1

    def eval_batches(self, batch_size: int = 512) -> Iterator[Batch]:
        dataset = self._dataset(self._paths)
        for arrays in dataset.iter_batches(batch_size=batch_size, batch_format="numpy"):
            yield self._batch(arrays)

    def _epoch(self, epoch: int) -> Iterator[Batch]:
        generator = np.random.default_rng(seed_for(self._seed, "files", epoch))
        paths = [self._paths[i] for i in generator.permutation(len(self._paths))]
        for arrays in self._dataset(paths).iter_batches(
            batch_size=self.batch_size,
            batch_format="numpy",
            local_shuffle_buffer_size=BUFFER_BATCHES * self.batch_size,
            local_shuffle_seed=seed_for(self._seed, "buffer", epoch),
        ):
            yield self._batch(arrays)

    def _dataset(self, paths: list[str]) -> "RayDataset":
        import ray.data

        context = ray.data.DataContext.get_current()
        # The order of blocks is part of the seeded order of rows.
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        dataset = ray.data.read_datasource(_arrow_datasource(paths, self._columns))
        if self._ids is None:
            return dataset
        keep = self._ids
        return dataset.map_batches(lambda block: _kept(block, keep), batch_format="pyarrow")

    def _batch(self, arrays: dict[str, np.ndarray]) -> Batch:
        y = torch.from_numpy(np.array(arrays["label"])) if self._labelled else None
        x = torch.from_numpy(np.array(arrays["image"]))
        return Batch(x, y, torch.from_numpy(np.array(arrays["id"])))


def _kept(block: pa.Table, ids: np.ndarray) -> pa.Table:
    return block.filter(pa.array(np.isin(block.column("id").to_numpy(), ids)))


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    y = None if batch.y is None else batch.y[start:stop]
    return Batch(batch.x[start:stop], y, batch.id[start:stop])


def _without(batch: Batch, skip: int) -> tuple[Batch, int]:
    """Drop up to `skip` leading rows; return what is left of both."""
    dropped = min(skip, len(batch.id))
    return _rows(batch, dropped, len(batch.id)), skip - dropped


def _joined(a: Batch, b: Batch) -> Batch:
    y = None if a.y is None or b.y is None else torch.cat([a.y, b.y])
    return Batch(torch.cat([a.x, b.x]), y, torch.cat([a.id, b.id]))


def _arrow_datasource(paths: list[str], columns: list[str]) -> Any:
    from ray.data.datasource import FileBasedDatasource

    class ArrowIpcDatasource(FileBasedDatasource):
        """Reads Arrow IPC files, which Ray Data has no reader for."""

        def _open_input_source(self, filesystem: Any, path: str, **_: Any) -> Any:
            return filesystem.open_input_file(path)

        def _read_stream(self, f: Any, path: str) -> Iterator[pa.Table]:
            reader = pa.ipc.open_file(f)
            for i in range(reader.num_record_batches):
                table = pa.Table.from_batches([reader.get_batch(i)]).select(columns)
                for start in range(0, table.num_rows, READ_ROWS):
                    yield table.slice(start, READ_ROWS)

    return ArrowIpcDatasource(paths, file_extensions=["arrow"])
