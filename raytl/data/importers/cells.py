"""Columns of Parquet files that no process holds whole: texts, and images and sounds as bytes.

Rows are stored in an order that is drawn, so that a shard's rows lie in nearly all row groups: were
each shard to look for its own, every file would be read as often as there are shards. So they are
sorted first, as much at a time as a task reads at once: it writes them in a run, a file of Arrow
with a record batch for each shard. A shard then reads its own batch of every run.

Legend: N rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raytl.data.importers.inputs import Digest, Later
from raytl.data.importers.parquet_files import ParquetRows, Unit, read_unit
from raytl.data.stored import Work
from raytl.files import digest_of
from raytl.remote_files import opened, put, there
from raytl.urls import Place

PLACE, NAME = (
    "raytl place",
    "raytl name",
)  # columns of a run: where a row is stored, and what to call it


@dataclass(frozen=True)
class Cells(Later):
    """One column's cells of the rows `rows_N`, which lie in files. They are read where they have
    been gathered, alone."""

    source: ParquetRows
    column: str
    rows_N: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_N)

    def of(self, numbers: np.ndarray) -> "Cells":
        """Return the cells of some rows, in this order."""
        return replace(self, rows_N=self.rows_N[numbers])

    def load(self) -> Any:
        """Cells are read of a shard alone, once they are gathered."""
        raise AssertionError("cells that were not gathered")


def seal_cells(cells: Cells, digest: Digest) -> None:
    """Add what changes with the cells to a digest."""
    digest.update(f"{cells.column} {cells.source.stamps}".encode(errors="surrogateescape"))
    digest.update(np.ascontiguousarray(cells.rows_N).data)


@dataclass(frozen=True)
class Gathered(Later):
    """A column's cells of one shard: its record batches in all runs."""

    runs: tuple[Place, ...]
    shard: int
    column: str
    rows: int

    def __len__(self) -> int:
        return self.rows

    def load(self) -> Any:
        """Read them: texts as Arrow's strings, else (name, bytes) each, without bytes where a cell
        has none."""
        parts = [_batch(run, self.shard, self.column) for run in self.runs]
        table = pa.Table.from_batches(parts).sort_by(PLACE)
        cells = table[self.column]
        if not pa.types.is_large_binary(cells.type):
            return cells
        names = table[NAME].to_pylist()
        return [
            (name, content or b"") for name, content in zip(names, cells.to_pylist(), strict=True)
        ]

    def of(self, numbers: np.ndarray) -> "Gathered":
        """The rows of a shard are read together."""
        raise AssertionError("a part of what was gathered for a shard")


def _batch(run: Place, number: int, column: str) -> pa.RecordBatch:
    with opened(run) as file:
        names = pa.ipc.open_file(file).schema.names
        fields = sorted(names.index(name) for name in (PLACE, NAME, column))
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        return pa.ipc.open_file(file, options=options).get_batch(number)


def gather(cells: Mapping[str, Cells], work: Work) -> Callable[[str, int], Gathered]:
    """Sort the cells of all rows, which are given in the order of storage, into runs; those that
    are there already are kept. Returns what gives a column's cells of a shard."""
    first = next(iter(cells.values()))
    columns = tuple(dict.fromkeys(one.column for one in cells.values()))
    place_of = np.full(first.source.rows, -1)
    place_of[first.rows_N] = np.arange(len(first))
    sortings = []
    for unit in first.source.units:
        own = place_of[unit.in_all : unit.in_all + unit.rows]
        if (own >= 0).any():
            sortings.append(_Sorting(unit, columns, own, work.rows, -(-len(first) // work.rows)))
    names: list[str] = list(work.each(partial(_sorted, work.folder), sortings))
    runs = tuple(work.folder / name for name in names)

    def shard(column: str, number: int) -> Gathered:
        start = number * work.rows
        return Gathered(runs, number, column, min(work.rows, len(first) - start))

    return shard


@dataclass(frozen=True)
class _Sorting:
    unit: Unit
    columns: tuple[str, ...]
    place_of: np.ndarray  # where each of the unit's rows is stored; negative where nowhere
    rows: int  # of a shard
    shards: int

    @property
    def name(self) -> str:
        """The run's: it says what it holds."""
        facts = [str(self.unit.file.place), self.unit.file.stamp, self.unit.groups, self.columns]
        digest = digest_of([*facts, self.rows, sha256(self.place_of.tobytes()).hexdigest()])
        return f"run-{digest[:32]}.arrow"


def _sorted(folder: Place, sorting: _Sorting) -> str:
    """Write a run and return its name."""
    name = sorting.name
    if there(folder / name):
        return name
    rows = np.flatnonzero(sorting.place_of >= 0)
    rows = rows[np.argsort(sorting.place_of[rows])]
    places = sorting.place_of[rows]
    read = read_unit(sorting.unit, sorting.columns)
    names = pa.array([sorting.unit.place(row) for row in rows.tolist()])
    table = pa.table(
        {PLACE: pa.array(places), NAME: names}
        | {column: wide(read[column]).take(pa.array(rows)) for column in sorting.columns}
    )
    cuts = np.searchsorted(places, np.arange(sorting.shards + 1) * sorting.rows)
    with TemporaryDirectory(prefix="raytl-") as own:
        path = Path(own) / name
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for start, stop in pairwise(cuts):
                writer.write_batch(_one_batch(table.slice(start, stop - start)))
        put(path, folder / name)
    return name


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    arrays = [column.combine_chunks() for column in table.columns]
    flat = [a.chunk(0) if isinstance(a, pa.ChunkedArray) else a for a in arrays]
    return pa.record_batch(flat, schema=table.schema)


def wide(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts and bytes with offsets that know more than 2 GiB, a file's bytes alone."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    return column.cast(pa.large_binary() if is_stored_file(column.type) else pa.large_string())


def is_stored_file(kind: pa.DataType) -> bool:
    """Whether cells hold a file's bytes, alone or as {bytes, path}."""
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )
