"""Writing a dataset: chunks of rows in, Arrow shards out.

Legend: N rows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from raytl.data.group_column import GroupColumn
from raytl.data.schema import (
    FILE_NAME,
    ID,
    DatasetInfo,
    ShardInfo,
    SplitInfo,
    column_name,
    fingerprint_of,
    plain_name,
)
from raytl.errors import DataError
from raytl.files import sha256_of
from raytl.folders import new_folder
from raytl.modalities.column import BadRowError, Column, Values
from raytl.urls import Place

Progress = Callable[[int], None]  # rows read since the last call

SHARD_BYTES = 64 * 2**20


class Chunk(NamedTuple):
    """Some rows of a split, in the order in which they are stored."""

    values: dict[str, Values]  # by column
    places_N: np.ndarray  # where each row stands in its source, from 0; gaps allowed


Chunks = Iterable[Chunk]


def write_dataset(
    out: Place,
    columns: Mapping[str, Column],
    splits: Mapping[str, Chunks],
    origin: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = lambda rows: None,
) -> DatasetInfo:
    """Write `splits` under `out`, whole or not at all.

    Ids number the rows of all splits from 0, those of a split in the order of their source.
    Raises DataError for a name of a split or column that is not plain, for a second column of
    groups, for a group that stands in two splits and for a row whose values do not fit their
    columns, UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    _check_names(splits)
    _check_columns(columns)
    # Targets take some bytes a row and are not counted: datasets of images are cut where they
    # always were, and so keep their fingerprints.
    row_bytes = sum(column.row_bytes for column in columns.values() if not column.is_target)
    rows_per_shard = max(1, shard_bytes // max(1, row_bytes))
    with new_folder(out, force) as folder:
        infos: dict[str, SplitInfo] = {}
        first_id = 0
        apart = _Apart(columns)
        for name, chunks in splits.items():
            checked = _checked_all(chunks, columns, name, apart, progress)
            infos[name] = _write_split(
                folder, name, _regroup(checked, rows_per_shard), columns, first_id
            )
            first_id += infos[name].rows
        info = DatasetInfo.model_validate(
            {
                "columns": {name: column.model_dump() for name, column in columns.items()},
                "splits": infos,
                "origin": origin,
                "fingerprint": fingerprint_of(columns, infos),
            }
        )
        text = json.dumps(info.model_dump(mode="json"), indent=1)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return info


def _check_names(splits: Iterable[str]) -> None:
    for name in splits:
        try:
            plain_name(name)
        except ValueError as error:
            raise DataError(f"{error}, got '{name}'; rename it") from None


def _check_columns(columns: Mapping[str, Column]) -> None:
    for name in columns:
        try:
            column_name(name)
        except ValueError as error:
            raise DataError(f"{error}; rename it") from None
    groups = [name for name, column in columns.items() if isinstance(column, GroupColumn)]
    if len(groups) > 1:
        raise DataError(
            f"a dataset has one column of groups at most, got {', '.join(groups)}; leave out all "
            "but one"
        )


def _checked_all(
    chunks: Chunks, columns: Mapping[str, Column], split: str, apart: "_Apart", progress: Progress
) -> Iterator[Chunk]:
    for chunk in chunks:
        _check(chunk, columns, split)
        apart.check(chunk, split)
        yield chunk
        progress(len(chunk.places_N))


def _check(chunk: Chunk, columns: Mapping[str, Column], split: str) -> None:
    for name, column in columns.items():
        values = chunk.values[name]
        if len(values) != len(chunk.places_N):
            raise DataError(
                f"split {split}: {len(chunk.places_N)} rows but {len(values)} in column {name}"
            )
        try:
            column.check(values)
        except BadRowError as error:
            place = int(chunk.places_N[error.row])
            raise DataError(f"split {split}: column {name}: {error.at(place)}") from None
        except ValueError as error:
            raise DataError(f"split {split}: column {name}: {error}") from None


class _Apart:
    """In which split each group stands: rows of one must not be on two sides."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        found = ((n, c.groups) for n, c in columns.items() if isinstance(c, GroupColumn))
        self._column: str | None
        self._column, groups = next(found, (None, 0))
        self._split_of = np.full(groups, -1)
        self._splits: list[str] = []

    def check(self, chunk: Chunk, split: str) -> None:
        """Raise DataError for the first row whose group stands in an earlier split too."""
        if self._column is None:
            return
        if split not in self._splits:
            self._splits.append(split)
        here, groups_N = len(self._splits) - 1, chunk.values[self._column]
        bad = np.flatnonzero((self._split_of[groups_N] >= 0) & (self._split_of[groups_N] != here))
        if len(bad):
            group = groups_N[bad[0]]
            other = self._splits[self._split_of[group]]
            raise DataError(
                f"a group must stand in one split alone, but {group} of column {self._column} has "
                f"rows in {other} and {split}; move its rows, or leave the group out"
            )
        self._split_of[groups_N] = here


def _regroup(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
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
                yield _joined(parts)
                parts, held = [], 0
    if held:
        yield _joined(parts)


def _part(chunk: Chunk, start: int, stop: int) -> Chunk:
    values = {name: of_rows[start:stop] for name, of_rows in chunk.values.items()}
    return Chunk(values, chunk.places_N[start:stop])


def _joined(parts: list[Chunk]) -> Chunk:
    values = {name: np.concatenate([p.values[name] for p in parts]) for name in parts[0].values}
    return Chunk(values, np.concatenate([part.places_N for part in parts]))


def _write_split(
    folder: Path,
    name: str,
    chunks: Iterator[Chunk],
    columns: Mapping[str, Column],
    first_id: int,
) -> SplitInfo:
    # The number of shards is in every name but known only at the end: renamed then.
    written: list[Path] = []
    places = []
    for chunk in chunks:
        path = folder / f"{name}-{len(written):05d}.arrow"
        _write_shard(path, _record_batch(chunk, columns, first_id))
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
        _write_shard(path, batch.set_column(0, ID, ids))


def _record_batch(chunk: Chunk, columns: Mapping[str, Column], first_id: int) -> pa.RecordBatch:
    ids = pa.array((first_id + chunk.places_N).astype(np.int64))
    arrays = {name: column.to_arrow(chunk.values[name]) for name, column in columns.items()}
    return pa.record_batch({ID: ids} | arrays)


def _write_shard(path: Path, batch: pa.RecordBatch) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
