"""The rows of several tables as one, and where each came from.

Legend: N rows of all tables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.importers.base import ShardOptions
from raytl.data.importers.roles import need_column
from raytl.data.importers.table_files import Table
from raytl.data.importers.words import words_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.texts import MISSING
from raytl.urls import Place


@dataclass(frozen=True)
class Joined:
    """The rows of all tables, one after the other, and where each came from."""

    tables: Mapping[str, Table]  # by split
    rows: pa.Table
    table_of: np.ndarray  # which table each row is of, (N,)
    row_of: np.ndarray  # and its number there, (N,)

    @property
    def name(self) -> str:
        """What to call the source."""
        return ", ".join(table.name for table in self.tables.values())

    @property
    def numbers(self) -> np.ndarray:
        """Which rows of all tables these are, as many as they had before some were left out."""
        starts = np.cumsum([0, *(len(table.rows) for table in self._tables)])
        return starts[self.table_of] + self.row_of

    @cached_property
    def _tables(self) -> list[Table]:
        return list(self.tables.values())

    def place(self, row: int) -> str:
        """Return where a row stands, such as "a.csv, line 7"."""
        table, number = self._tables[self.table_of[row]], int(self.row_of[row])
        if table.place is not None:
            return table.place(number)
        if table.first_line is None:
            return f"{table.name}, row {number}"
        return f"{table.name}, line {number + table.first_line}"

    def folder(self, row: int) -> Place:
        """Return the folder that a row's paths are relative to."""
        return self._tables[self.table_of[row]].folder or Path()


def join(tables: Mapping[str, Table]) -> Joined:
    """Return tables as one. Raises DataError where they have not the same columns and types."""
    first = next(iter(tables.values()))
    names = first.rows.column_names
    for table in tables.values():
        differing = sorted(set(names) ^ set(table.rows.column_names))
        if differing:
            lacks, has = (table, first) if differing[0] in names else (first, table)
            raise DataError(
                f"all splits must have the same columns, but {lacks.name} lacks '{differing[0]}', "
                f"which {has.name} has ({len(differing)} such)"
            )
    parts = [table.rows.select(names) for table in tables.values()]
    try:
        rows = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"columns must have one type in all splits: {str(error).splitlines()[0]}"
        ) from None
    counts = [len(part) for part in parts]
    row_of = np.concatenate([np.arange(count) for count in counts])
    return Joined(tables, rows, np.repeat(np.arange(len(parts)), counts), row_of)


def kept(joined: Joined, options: ShardOptions) -> Joined:
    """Return the rows that `--where` keeps."""
    if not options.where:
        return joined
    keep = np.ones(len(joined.rows), dtype=bool)
    for name, wanted in conditions(options).items():
        need_column(name, joined.rows.column_names, "--where", joined.name)
        words = words_of(joined.rows[name], name)
        known = sorted({word for word in words if word})
        for value in wanted:
            if value not in known:
                raise ConfigError(
                    f"--where {name}={value}: no row has it; {nearest(value, known[:20])}"
                )
        keep &= np.array([word in wanted for word in words])
    if not keep.any():
        raise ConfigError(f"--where {' and '.join(options.where)}: no row is left; keep some")
    rows = joined.rows.filter(pa.array(keep))
    return Joined(joined.tables, rows, joined.table_of[keep], joined.row_of[keep])


def conditions(options: ShardOptions) -> dict[str, set[str]]:
    """Return the values that `--where` allows, by column: one of those that are given for it."""
    allowed: dict[str, set[str]] = {}
    for given in options.where:
        name, equals, value = given.partition("=")
        if not (name and equals):
            raise ConfigError(f"--where {given}: expected COLUMN=VALUE, e.g. hospital=va")
        allowed.setdefault(name, set()).add(value)
    return allowed


def all_there(joined: Joined, name: str, option: str) -> np.ndarray:
    """Return a column's words, str (N,); DataError where one is missing."""
    words = [None if word is None else word.strip() for word in words_of(joined.rows[name], name)]
    for row, word in enumerate(words):
        if word is None or word.lower() in MISSING:
            raise DataError(
                f"{joined.place(row)}: column '{name}' ({option}) has no value; fill it in or "
                "drop the row"
            )
    return np.array(words)


def by_line(joined: Joined, told: str) -> str:
    """Return a message about the rows of all tables with the place of the first row that it names,
    and with the options that help."""
    row = re.search(r"\brow (\d+)", told)
    known = row is not None and int(row[1]) < len(joined.rows)
    place = joined.place(int(row[1])) if row is not None and known else joined.name
    return f"{place}: {told} (--drop, --category and --text say what a column is)"
