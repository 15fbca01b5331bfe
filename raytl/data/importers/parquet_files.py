"""Many Parquet files as one table: what is small is read into memory, the rest stays where it is.

A unit is some row groups of a file that one task reads.
"""

import contextlib
from bisect import bisect_right
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import pyarrow as pa

from raytl.data.importers.features import class_names, features_of, named_classes
from raytl.data.importers.many_files import FileAt, first_line, reading_file
from raytl.data.stored import Each
from raytl.errors import DataError
from raytl.remote_files import opened

UNIT_BYTES = 128 * 2**20  # of row groups that one task reads, unless a single one has more


@dataclass(frozen=True)
class Unit:
    """Row groups of a file, and where their rows stand: in the file, and among those of all."""

    file: FileAt
    groups: tuple[int, ...]
    rows: int
    in_file: int
    in_all: int

    def place(self, row: int) -> str:
        """Return where one of its rows stands."""
        return f"{self.file.name}, row {self.in_file + row}"


@dataclass(frozen=True)
class Footer:
    """What a Parquet file says of itself: rows and bytes (uncompressed) of each row group."""

    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ParquetRows:
    """The rows of many files, one after the other."""

    files: tuple[FileAt, ...]
    schema: pa.Schema
    counts: tuple[int, ...]  # rows of each file
    units: tuple[Unit, ...]
    # What Hugging Face's `datasets` wrote about each file's columns, by name; nothing where it is
    # of another writer
    features_of_files: tuple[Mapping[str, Any], ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def place(self, row: int) -> str:
        """Return where a row of all stands."""
        after = bisect_right(self._starts, row)
        unit = self.units[after - 1]
        return unit.place(row - unit.in_all)

    @cached_property
    def _starts(self) -> list[int]:
        return [unit.in_all for unit in self.units]

    @cached_property
    def stamps(self) -> list[str]:
        """What changes where a file does."""
        return [f"{file.place} {file.stamp}" for file in self.files]

    @property
    def features(self) -> Mapping[str, Any]:
        """What the first file that says something of a column says of it."""
        return ChainMap(*map(dict, self.features_of_files))


def parquet_rows(files: Sequence[FileAt], each: Each) -> ParquetRows:
    """Read what the files say of themselves, by whom `each` names. Raises DataError for one that is
    no Parquet file, and for one that has other columns than the first."""
    footers: list[Footer] = list(each(footer_of, files))
    schema = footers[0].schema
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{files[0].name}: two columns are called '{twice}'; rename one")
    counts = tuple(sum(rows for rows, _ in footer.groups) for footer in footers)
    units: list[Unit] = []
    for file, footer, start in zip(files, footers, accumulate((0, *counts[:-1])), strict=True):
        _check_schema(schema, footer.schema, files[0], file)
        units += _units(file, footer, start)
    if not units:
        raise DataError(f"{files[0].name}: there are no rows; give files that have some")
    features = tuple(features_of(footer.schema) for footer in footers)
    return ParquetRows(tuple(files), schema, counts, tuple(units), features)


@contextlib.contextmanager
def reading_parquet(file: FileAt) -> Iterator[None]:
    """Turn what goes wrong into our own errors, with the file's name."""
    with reading_file(file):
        try:
            yield
        except pa.ArrowException as error:
            raise DataError(
                f"{file.name}: is no Parquet file that can be read: {first_line(error)}; copy it "
                "again"
            ) from None


def footer_of(file: FileAt) -> Footer:
    """Return what a file says of itself; raises DataError where it is no Parquet file."""
    import pyarrow.parquet as pq

    with reading_parquet(file), opened(file.place) as source:
        found = pq.ParquetFile(source)
        groups = [found.metadata.row_group(i) for i in range(found.metadata.num_row_groups)]
        return Footer(
            found.schema_arrow, tuple((group.num_rows, group.total_byte_size) for group in groups)
        )


def _check_schema(first: pa.Schema, own: pa.Schema, of: FileAt, file: FileAt) -> None:
    differing = sorted(set(first.names) ^ set(own.names))
    if differing:
        has, lacks = (of, file) if differing[0] in first.names else (file, of)
        raise DataError(
            f"all files must have the same columns, but {lacks.name} lacks '{differing[0]}', which "
            f"{has.name} has ({len(differing)} such)"
        )
    for name in first.names:
        if first.field(name).type != own.field(name).type:
            raise DataError(
                f"{file.name}: column '{name}' has {own.field(name).type}, but in {of.name} "
                f"{first.field(name).type}; write it with one type in all files"
            )


def _units(file: FileAt, footer: Footer, start: int) -> Iterable[Unit]:
    held: list[int] = []
    rows = size = in_file = 0
    for group, (count, size_here) in enumerate(footer.groups):
        if held and size + size_here > UNIT_BYTES:
            yield Unit(file, tuple(held), rows, in_file, start + in_file)
            in_file += rows
            held, rows, size = [], 0, 0
        held, rows, size = [*held, group], rows + count, size + size_here
    if rows:
        yield Unit(file, tuple(held), rows, in_file, start + in_file)


def read_unit(unit: Unit, columns: Sequence[str]) -> pa.Table:
    """Return columns of a unit's rows; raises DataError where the file is broken."""
    import pyarrow.parquet as pq

    with reading_parquet(unit.file), opened(unit.file.place) as source:
        return pq.ParquetFile(source, pre_buffer=True).read_row_groups(
            list(unit.groups), columns=list(columns)
        )


def read_columns(rows: ParquetRows, columns: Sequence[str], each: Each) -> pa.Table:
    """Return columns of all rows, in memory, with the names of classes in the place of their
    numbers: those that the file itself declares, else those of the first that does."""
    usual = class_names(rows.features)
    names_of = {
        file: {**usual, **class_names(features)}
        for file, features in zip(rows.files, rows.features_of_files, strict=True)
    }
    parts = each(partial(read_unit, columns=tuple(columns)), rows.units)
    named = [
        named_classes(part.replace_schema_metadata(), names_of[unit.file])
        for part, unit in zip(parts, rows.units, strict=True)
    ]
    # In some files a column may lack values, in others it may not
    return pa.concat_tables(named, promote_options="default")
