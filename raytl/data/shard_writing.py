"""One shard: read, checked and written, here or in a task of a cluster.

Legend: N rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from raytl.data.checking import check_chunk
from raytl.data.group_column import GroupColumn
from raytl.data.schema import ID, ShardInfo
from raytl.data.stored import Chunk, Part
from raytl.data.written import RECORDS, Written
from raytl.errors import RaytlError, why_not_written
from raytl.files import sha256_of
from raytl.modalities.column import Column
from raytl.remote_files import delete, download, put, put_text
from raytl.tasks.columns import LabelColumn
from raytl.urls import Place, Url


@dataclass(frozen=True)
class ShardTask:
    """A shard that is to be written. `first_id`: of the split's first row; `digest`: of what is to
    be read, where a record is kept of what was."""

    file: str
    split: str
    first_id: int
    places_N: np.ndarray  # where its rows stand in their source, in the order of storage
    part: Part
    columns: Mapping[str, Column]
    digest: str | None = None


def write_task(folder: Place, task: ShardTask) -> Written:
    """Read a shard's rows and write it into `folder`, and then its record, each whole or not at
    all. Raises as the part's `read`, DataError for rows that do not fit their columns, RaytlError
    where it cannot be written."""
    messages: list[str] = []
    chunks: list[Chunk] = []
    for chunk in task.part.read(messages):
        check_chunk(chunk, task.columns, task.split)
        chunks.append(chunk)
    info, held, places_N = None, dict[str, list[int]](), np.zeros(0, np.int64)
    if chunks:
        whole = joined(chunks)
        held, places_N = _held(whole, task.columns), whole.places_N
        batch = record_batch(whole, task.columns, task.first_id)
        info = _put_unrecorded(folder, task.file, batch)
    left_out = np.setdiff1d(task.places_N, places_N).tolist()
    done = Written(
        digest=task.digest or "", info=info, left_out=left_out, messages=messages, held=held
    )
    if task.digest is not None:
        put_text(done.model_dump_json(), _record(folder, task.file))
    return done


def _record(folder: Place, file: str) -> Place:
    return folder / RECORDS / f"{file}.json"


def _put_unrecorded(folder: Place, file: str, batch: pa.RecordBatch) -> ShardInfo:
    """Write a shard whose record, if there is one, is of other bytes: it goes away first, so that
    whatever stops this finds none that is untrue."""
    delete(_record(folder, file))
    return put_batch(folder, file, batch)


def joined(chunks: list[Chunk]) -> Chunk:
    """Return chunks as one."""
    values = {
        name: np.concatenate([chunk.values[name] for chunk in chunks]) for name in chunks[0].values
    }
    return Chunk(values, np.concatenate([chunk.places_N for chunk in chunks]))


def _held(chunk: Chunk, columns: Mapping[str, Column]) -> dict[str, list[int]]:
    """Return the different classes and groups that there are, by column."""
    return {
        name: np.unique(chunk.values[name]).tolist()
        for name, column in columns.items()
        if isinstance(column, LabelColumn | GroupColumn)
    }


def record_batch(chunk: Chunk, columns: Mapping[str, Column], first_id: int) -> pa.RecordBatch:
    """Return rows as shards hold them."""
    ids = pa.array((first_id + chunk.places_N).astype(np.int64))
    arrays = {name: column.to_arrow(chunk.values[name]) for name, column in columns.items()}
    return pa.record_batch({ID: ids} | arrays)


def save_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Write an Arrow file of one record batch."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def put_batch(folder: Place, file: str, batch: pa.RecordBatch) -> ShardInfo:
    """Write a shard into a folder or behind a URL, whole or not at all."""
    if not isinstance(folder, Url):
        partial = folder / f".{file}.partial"
        try:
            save_batch(partial, batch)
            info = _info(partial, file, len(batch))
            partial.replace(folder / file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _not_written(folder, error) from error
        return info
    with TemporaryDirectory(prefix="raytl-") as own:
        try:
            save_batch(Path(own) / file, batch)
        except OSError as error:
            raise _not_written(Path(own), error) from error
        put(Path(own) / file, folder / file)
        return _info(Path(own) / file, file, len(batch))


def _info(path: Path, file: str, rows: int) -> ShardInfo:
    return ShardInfo(file=file, rows=rows, bytes=path.stat().st_size, sha256=sha256_of(path))


def _not_written(folder: Path, error: OSError) -> RaytlError:
    return RaytlError(f"{folder}: cannot write: {why_not_written(error)}")


@dataclass(frozen=True)
class Renumbering:
    """A shard whose rows are to get ids anew, for rows before them were left out, and its name."""

    file: str
    to: str
    ids_N: np.ndarray


def renumber(folder: Place, task: Renumbering) -> ShardInfo:
    """Write a shard again with its rows' new ids, which no record knows of; raises RaytlError where
    that cannot be."""
    with TemporaryDirectory(prefix="raytl-") as own:
        path = folder / task.file
        if isinstance(path, Url):
            download(path, Path(own) / task.file)
            path = Path(own) / task.file
        with pa.OSFile(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
        return _put_unrecorded(folder, task.to, batch.set_column(0, ID, pa.array(task.ids_N)))
