"""Writing a dataset: rows in, Arrow shards out.

Legend: N rows.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.begun import Begun
from raytl.data.checking import check_chunk, check_columns, check_names
from raytl.data.schema import FILE_NAME, ID, DatasetInfo, ShardInfo, SplitInfo, fingerprint_of
from raytl.data.shard_writing import joined, record_batch, save_batch
from raytl.data.split_writing import InParts, Progress, Seen, Writing, close_gaps, write_in_parts
from raytl.data.stored import Chunk, Chunks, Each, StoredRows
from raytl.data.written import RECORDS
from raytl.errors import DataError
from raytl.files import sha256_of
from raytl.folders import new_folder
from raytl.modalities.column import Column
from raytl.urls import Place

__all__ = ["SHARD_BYTES", "Chunk", "Chunks", "Progress", "write_dataset"]

SHARD_BYTES = 64 * 2**20


def write_dataset(
    out: Place,
    columns: Mapping[str, Column],
    splits: Mapping[str, Chunks | StoredRows],
    origin: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = lambda rows: None,
    seen: Seen | None = None,
    each: Each = map,
    begun: Begun | None = None,
) -> DatasetInfo:
    """Write `splits` under `out`, whole or not at all.

    Ids number the rows of all splits from 0, those of a split in the order of their source.
    Splits that are read in parts are written by whom `each` names; with `begun` shard by shard
    where they belong, so that what is there of the same is kept. `seen` is told what was found.

    Raises DataError for a name of a split or column that is not plain, for a second column of
    groups, for a group that stands in two splits and for a row whose values do not fit their
    columns, UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    check_names(splits)
    check_columns(columns)
    # Targets take some bytes a row and are not counted: datasets of images are cut where they
    # always were, and so keep their fingerprints.
    row_bytes = sum(column.row_bytes for column in columns.values() if not column.is_target)
    rows = max(1, shard_bytes // max(1, row_bytes))
    with new_folder(out, force) if begun is None else begun.going_on() as folder:
        writing = Writing(folder, columns, rows, progress, seen or Seen(), each, begun)
        info = _described(columns, _written(splits, writing), origin)
        text = json.dumps(info.model_dump(mode="json"), indent=1)
        if begun is not None:
            begun.finish(info, text)
        else:
            assert isinstance(folder, Path)
            shutil.rmtree(folder / RECORDS, ignore_errors=True)
            (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return info


def _described(
    columns: Mapping[str, Column], splits: dict[str, SplitInfo], origin: dict[str, Any]
) -> DatasetInfo:
    return DatasetInfo.model_validate(
        {
            "columns": {name: column.model_dump() for name, column in columns.items()},
            "splits": splits,
            "origin": origin,
            "fingerprint": fingerprint_of(columns, splits),
        }
    )


def _written(splits: Mapping[str, Chunks | StoredRows], writing: Writing) -> dict[str, SplitInfo]:
    done: dict[str, SplitInfo | InParts] = {}
    for name, rows in splits.items():
        first_id = sum(of.rows for of in done.values())
        if isinstance(rows, StoredRows):
            done[name] = write_in_parts(writing, name, rows, first_id)
        else:
            chunks = _regroup(_checked(rows, name, writing), writing.rows)
            done[name] = _write_split(writing, name, chunks, first_id)
    return {
        name: close_gaps(writing, of) if isinstance(of, InParts) else of
        for name, of in done.items()
    }


def _checked(chunks: Chunks, split: str, writing: Writing) -> Iterator[Chunk]:
    for chunk in chunks:
        check_chunk(chunk, writing.columns, split)
        writing.note(split, chunk)
        yield chunk
        writing.progress(len(chunk.places_N))


def _regroup(chunks: Iterator[Chunk], rows: int) -> Iterator[Chunk]:
    """Yield chunks of exactly `rows` rows, the last one shorter."""
    parts: list[Chunk] = []
    held = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk.places_N):
            take = min(rows - held, len(chunk.places_N) - start)
            parts.append(_part(chunk, start, start + take))
            held, start = held + take, start + take
            if held == rows:
                yield joined(parts)
                parts, held = [], 0
    if held:
        yield joined(parts)


def _part(chunk: Chunk, start: int, stop: int) -> Chunk:
    values = {name: of_rows[start:stop] for name, of_rows in chunk.values.items()}
    return Chunk(values, chunk.places_N[start:stop])


def _write_split(writing: Writing, name: str, chunks: Iterator[Chunk], first_id: int) -> SplitInfo:
    # The number of shards is in every name but known only at the end: renamed then.
    folder = writing.folder
    assert isinstance(folder, Path), "chunks that come one after the other are written here"
    written: list[Path] = []
    places = []
    for chunk in chunks:
        path = folder / f"{name}-{len(written):05d}.arrow"
        save_batch(path, record_batch(chunk, writing.columns, first_id))
        written.append(path)
        places.append(chunk.places_N)
    if not places:
        raise DataError(f"split {name}: no rows; leave the split out or look at the source")
    _close_gaps(written, places, first_id)
    shards = []
    for index, path in enumerate(written):
        final = folder / f"{name}-{index:05d}-of-{len(written):05d}.arrow"
        path.rename(final)
        shards.append(
            ShardInfo(
                file=final.name,
                rows=len(places[index]),
                bytes=final.stat().st_size,
                sha256=sha256_of(final),
            )
        )
    return SplitInfo(rows=sum(map(len, places)), shards=tuple(shards))


def _close_gaps(written: list[Path], places: list[np.ndarray], first_id: int) -> None:
    """Number the rows anew where some were left out, so that ids have no gaps."""
    every = np.sort(np.concatenate(places))
    if every[-1] == len(every) - 1:
        return
    for path, of_rows in zip(written, places, strict=True):
        with pa.OSFile(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
        ids = pa.array(first_id + np.searchsorted(every, of_rows))
        save_batch(path, batch.set_column(0, ID, ids))
