"""A shard of pooled features, computed for several depths in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch

from raytl.config import TrialConfig
from raytl.data.branch_rows import ColumnRows
from raytl.data.domain import Domain
from raytl.data.schema import ID, ShardInfo
from raytl.devices import placed
from raytl.files import sha256_of
from raytl.remote_files import put, put_text
from raytl.rows import Rows
from raytl.training.batches import in_batches
from raytl.training.building import build_trial
from raytl.training.feature_store import Encoded, Features, FeatureWriter, decoded
from raytl.training.material import Material
from raytl.training.pool_tasks import PoolTask, Tap
from raytl.training.pooled import LENGTH, VALUES, FeatureColumn, ShardNote, columns_of, note_of
from raytl.training.prefix import Prefix
from raytl.training.readers import Prepared
from raytl.urls import Place


def prefix_of(prefix: Prefix, tap: Tap) -> Prefix:
    """Return the prefix of a tap, which is as long as this one or shorter."""
    return replace(prefix, blocks=tap.depth, pools=tap.pools)


@dataclass
class PoolWriter:
    """Computes shards of tasks in a process of its own, which keeps the branch of the last one."""

    material: Material
    device: torch.device
    _task: PoolTask | None = field(default=None, init=False)
    _prefix: Prefix | None = field(default=None, init=False)

    def write(self, task: PoolTask, number: int, place: Place) -> None:
        """Compute the features of a split's shard and write them under the key of each tap.

        Raises TrainingError where memory has no room for a row, RaytlError where nothing can be
        written, and as `Split.read`.
        """
        rows, prefix = self._rows(task), self._deepest(task)
        shard = rows.split.info.shards[number]
        first = int(rows.split.ends[number]) - shard.rows
        own = range(first, first + shard.rows)
        with TemporaryDirectory(prefix="raytl-features-") as folder:
            at = [Path(folder) / tap.key for tap in task.taps]
            _compute(at, [prefix_of(prefix, tap) for tap in task.taps], rows, own)
            ids = rows.split.ids()[own.start : own.stop]
            for tap, where in zip(task.taps, at, strict=True):
                _put(Features.open(where), ids, shard.file, place / tap.key)

    def _rows(self, task: PoolTask) -> ColumnRows:
        domain = domain_of(self.material, task.of_source)
        column = self.material.domains.column_in(domain, task.column)
        assert column is not None
        found = Prepared(task.column, self._deepest(task).branch).rows(
            domain, task.split, column, None
        )
        assert isinstance(found, ColumnRows)
        return found

    def _deepest(self, task: PoolTask) -> Prefix:
        if self._task is None or self._prefix is None or not task.shares_branch(self._task):
            parts = build_trial(self.material, TrialConfig.from_flat(dict(task.trial)), 0)
            branch = placed(parts.branches[task.branch], self.device)
            self._prefix = Prefix(branch, self.device, self.material.study.train.prefix_dtype)
        self._task = task
        return self._prefix


def domain_of(material: Material, of_source: bool) -> Domain:
    """Return one of the study's domains."""
    domain = material.domains.source if of_source else material.domains.target
    assert domain is not None
    return domain


def _compute(at: Sequence[Path], prefixes: Sequence[Prefix], rows: ColumnRows, own: range) -> None:
    """Write the features of the rows `own` into folders, one for each prefix."""
    deepest = prefixes[-1]
    first = rows.prepared(np.array([own.start]))
    writers = []
    for folder, encoded in zip(at, _each(prefixes, first), strict=True):
        folder.mkdir()
        writers.append(FeatureWriter(folder))
        writers[-1].begin(encoded, len(own))

    def run(batch: range) -> list[Encoded]:
        return list(_each(prefixes, rows.prepared(np.arange(batch.start, batch.stop))))

    parts = []
    for batch, found in in_batches(own, deepest.rows_at_once(first), run):
        part = range(batch.start - own.start, batch.stop - own.start)
        parts.append(part)
        for writer, encoded in zip(writers, found, strict=True):
            writer.put(part, encoded)
    for writer in writers:
        writer.finish(parts)


def _each(prefixes: Sequence[Prefix], prepared: Rows) -> Iterator[Encoded]:
    """Yield what each prefix stores. In float32, which is stored in full, a longer one goes on from
    what a shorter one gave."""
    found: Encoded | None = None
    done = 0
    for prefix in prefixes:
        if found is None or prefix.dtype != "float32":
            found = prefix.of_prepared(prepared)
        else:
            found = prefix.of_stored(decoded(found), done)
        done = prefix.depth
        yield found


def _put(features: Features, ids: np.ndarray, file: str, place: Place) -> None:
    """Write a shard of features, and after it what it holds."""
    ragged = features.offsets is not None
    column = FeatureColumn.model_validate(
        {
            "shape": features.values.shape[1:],
            "dtype": str(features.values.dtype),
            "ragged": ragged,
        }
    )
    arrays: dict[str, pa.Array] = {
        ID: pa.array(ids), VALUES: column.to_arrow(features.values, features.offsets),
    }  # fmt: skip
    if ragged:
        arrays[LENGTH] = columns_of(column)[LENGTH].to_arrow(features.lengths)
    batch = pa.record_batch(arrays)
    with TemporaryDirectory(prefix="raytl-features-") as folder:
        path = Path(folder) / file
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        info = ShardInfo(
            file=file, rows=len(ids), bytes=path.stat().st_size, sha256=sha256_of(path)
        )
        put(path, place / file)
    note = ShardNote(shard=info, column=column)
    put_text(note.model_dump_json(), place / note_of(file))
