"""Shards are verified once per copy: what was found good is remembered on this machine.

One small file a dataset folder, under the cache folder, maps each shard to a stamp of the file as
it was verified and of what `dataset.json` says of it. Where either changes, the shard is verified
again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from filelock import FileLock

from raytl.data.schema import ID, ShardInfo, column_facts
from raytl.errors import CorruptError, RaytlError
from raytl.files import digest_of, sha256_of, write_atomically
from raytl.folders import cache_folder
from raytl.modalities.column import Column

LOCK_S = 3600.0  # at most that long another process may verify what this one waits for
REMEDY = "copy or shard the dataset again"

Columns = Mapping[str, Column]
Progress = Callable[[int], None]  # bytes verified since the last call


def ensure_verified(folder: Path, shards: Sequence[ShardInfo], columns: Columns) -> None:
    """Verify those of `shards` that no process of this machine has verified yet.

    Of several processes that need the same dataset one verifies, the others wait. Raises
    CorruptError for the first shard that is not what `dataset.json` says.
    """
    if not _unknown(folder, shards, columns):
        return
    lock = _locked(_memory(folder))
    try:
        verify(folder, _unknown(folder, shards, columns), columns)
    finally:
        if lock is not None:
            lock.release()


def verify(
    folder: Path,
    shards: Sequence[ShardInfo],
    columns: Columns,
    progress: Progress = lambda num_bytes: None,
) -> None:
    """Verify `shards` whatever is remembered of them, and remember those that are good."""
    good: dict[str, str] = {}
    facts = facts_of(columns)

    def one(shard: ShardInfo) -> tuple[ShardInfo, str]:
        stamp = _stamp(folder, shard, facts)  # before: a file that changes meanwhile is not known
        verify_shard(folder / shard.file, shard, columns)
        return shard, stamp

    try:
        with ThreadPoolExecutor() as pool:
            for shard, stamp in pool.map(one, shards):
                good[shard.file] = stamp
                progress(shard.bytes)
    finally:
        _remember(_memory(folder), good)


def map_shard(path: Path) -> pa.RecordBatch:
    """Return a shard's one record batch, memory-mapped; CorruptError where it is not whole."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            count = reader.num_record_batches
            batch = reader.get_batch(0) if count == 1 else None
    except (OSError, pa.ArrowException) as error:
        raise CorruptError(f"{path}: not a whole Arrow file: {error}; {REMEDY}") from None
    if batch is None:
        raise CorruptError(f"{path}: has {count} record batches, expected 1; {REMEDY}")
    return batch


def check_batch(path: Path | str, batch: pa.RecordBatch, rows: int, columns: Columns) -> None:
    """Raise CorruptError where a shard's record batch is not of the columns that `dataset.json`
    says, or has another number of rows. Reads no values."""
    _check_schema(path, batch.schema, columns)
    if batch.num_rows != rows:
        raise CorruptError(f"{path}: has {batch.num_rows} rows, expected {rows}; {REMEDY}")


def _check_schema(path: Path | str, schema: pa.Schema, columns: Columns) -> None:
    expected = {ID: pa.int64()} | {name: column.arrow_type for name, column in columns.items()}
    found = {field.name: field.type for field in schema}
    for name in expected.keys() | found.keys():
        ours, theirs = expected.get(name, "nothing"), found.get(name, "nothing")
        if ours != theirs:
            raise CorruptError(
                f"{path}: column {name} must be {ours} by dataset.json, got {theirs}; {REMEDY}"
            )


def verify_shard(file: Path, shard: ShardInfo, columns: Columns, name: str | None = None) -> None:
    """Read a shard and compare it with what `dataset.json` says; CorruptError where it differs.
    `name`: what messages call it, if not by its path."""
    path = name or str(file)
    try:
        found = sha256_of(file)
    except OSError as error:
        raise CorruptError(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from None
    if found != shard.sha256:
        raise CorruptError(
            f"{path}: SHA-256 {found[:12]}… is not {shard.sha256[:12]}… as written; {REMEDY}"
        )
    batch = map_shard(file)
    check_batch(path, batch, shard.rows, columns)
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise CorruptError(f"{path}: not a whole record batch: {error}; {REMEDY}") from None
    if batch.column(ID).null_count:
        raise CorruptError(f"{path}: has rows without an id; {REMEDY}")
    for name, column in columns.items():
        try:
            column.verify(batch.column(name))
        except ValueError as error:
            raise CorruptError(f"{path}: column {name}: {error}; {REMEDY}") from None


def _unknown(folder: Path, shards: Sequence[ShardInfo], columns: Columns) -> list[ShardInfo]:
    known, facts = _remembered(_memory(folder)), facts_of(columns)
    return [s for s in shards if known.get(s.file) != _stamp(folder, s, facts)]


def facts_of(columns: Columns) -> str:
    """Return the digest of what the columns are, taken once for all shards: a column of categories
    may list very many."""
    return digest_of({name: column_facts(column) for name, column in columns.items()})


def _stamp(folder: Path, shard: ShardInfo, facts: str) -> str:
    try:
        stat = (folder / shard.file).stat()
    except OSError as error:
        raise CorruptError(
            f"{folder / shard.file}: cannot be read: {error.strerror}; {REMEDY}"
        ) from None
    # The time of change too: a copy may bring its time of modification along.
    file = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return digest_of([file, shard.model_dump(mode="json"), facts])


def _memory(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache_folder() / "verified" / f"{name[:32]}.json"


def _remembered(memory: Path) -> dict[str, str]:
    try:
        return dict(json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _remember(memory: Path, good: dict[str, str]) -> None:
    """Add to what is known. A cache folder that cannot be written costs time alone."""
    if not good:
        return
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps(_remembered(memory) | good))
    except (OSError, RaytlError):
        return


def _locked(memory: Path) -> FileLock | None:
    """Return the lock of a dataset's memory, held. None where the cache folder cannot be written or
    another process holds it for very long: then this process verifies for itself."""
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(memory.with_suffix(".lock"), timeout=LOCK_S)
        lock.acquire()
    except OSError:  # filelock's Timeout is one
        return None
    return lock
