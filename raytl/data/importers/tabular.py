"""Tables of somebody's columns to a dataset: numbers and categories, texts, images, sounds.

Legend: N rows of all splits.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from raytl.config import nearest
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.decoding import Encoded, how_fitted
from raytl.data.importers.inputs import Input, array_input, image_input, rows_of, text_input
from raytl.data.importers.roles import TABLE, Roles, need_column, pattern_columns, roles_of
from raytl.data.importers.sounds import sound_input
from raytl.data.importers.table_files import Table
from raytl.data.importers.targets import target_of
from raytl.data.importers.words import is_text, named_files, words_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.infer import infer
from raytl.modalities.table.texts import MISSING

FREE_TEXT = 50  # so many different words, most rows their own, are hardly categories


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

    @cached_property
    def _tables(self) -> list[Table]:
        return list(self.tables.values())

    def place(self, row: int) -> str:
        """Return where a row stands, such as "a.csv, line 7"."""
        table, number = self._tables[self.table_of[row]], int(self.row_of[row])
        if table.first_line is None:
            return f"{table.name}, row {number}"
        return f"{table.name}, line {number + table.first_line}"

    def folder(self, row: int) -> Path:
        """Return the folder that a row's paths are relative to."""
        return self._tables[self.table_of[row]].folder or Path()


def tabular(
    tables: Mapping[str, Table],
    options: ShardOptions,
    known_classes: tuple[str, ...] | None = None,
) -> Imported:
    """Return the dataset that tables, one a split, make by the parts that options give to columns.

    `known_classes`: those that the source declares for the target. Raises ConfigError for options
    that name what is not there, DataError for rows that cannot be used.
    """
    joined = kept(join(tables), options)
    roles = roles_of(joined.rows.column_names, options, joined.name)
    called = roles.called()
    target = target_of(
        roles.target,
        words_of(joined.rows[roles.target], roles.target),
        options,
        joined.place,
        known_classes,
    )
    groups = None if roles.group is None else all_there(joined, roles.group, "--group")
    splits = _splits(joined, roles)
    inputs, notes = _inputs(joined, roles, called, options)
    skipped: list[str] = []
    targets = {called[roles.target]: target.values}
    rows = {
        name: rows_of(inputs, numbers, targets, groups, options, skipped)
        for name, numbers in splits.items()
    }
    columns = {name: one.column for name, one in inputs.items()}
    columns[called[roles.target]] = target.column
    found = arranged(columns, rows, options, called.get(roles.group or "", "group"))
    found.skipped = skipped
    renamed = [f"column '{name}' is called '{to}'" for name, to in called.items() if name != to]
    patterns = [f"column '{given}'" for given in roles.media.values() if "{" in given]
    renamed = [note for note in renamed if not note.startswith(tuple(patterns) or "\0")]
    found.notes += [*target.notes, *notes, *renamed, *how_to_cut(found, options)]
    return found


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


def _splits(joined: Joined, roles: Roles) -> dict[str, np.ndarray]:
    """Return the numbers of each split's rows."""
    if roles.split is None:
        parts = {n: np.flatnonzero(joined.table_of == i) for i, n in enumerate(joined.tables)}
    elif len(joined.tables) > 1:
        raise ConfigError("--split-column: the files are splits already; leave one of them out")
    else:
        words = all_there(joined, roles.split, "--split-column")
        if len(np.unique(words)) > 20:
            raise ConfigError(
                f"--split-column: '{roles.split}' has {len(np.unique(words))} different values, "
                f"such as '{words[0]}'; name a column of splits, as train and test"
            )
        parts = {str(name): np.flatnonzero(words == name) for name in np.unique(words)}
    empty = next((name for name, numbers in parts.items() if not len(numbers)), None)
    if empty is not None:
        raise ConfigError(f"split {empty}: --where leaves no row in it; leave the split out")
    return dict(sorted(parts.items(), key=lambda part: part[0] != "train"))


def _inputs(
    joined: Joined, roles: Roles, called: Mapping[str, str], options: ShardOptions
) -> tuple[dict[str, Input], list[str]]:
    inputs: dict[str, Input] = {}
    notes: list[str] = []
    for kind, given in roles.media.items():
        files = _files(joined, given)
        if kind == "image":
            inputs[called[given]] = image_input(files, options)
            notes += how_fitted(options)
        else:
            inputs[called[given]] = sound_input(files, options)
            notes += inputs[called[given]].notes
    for name in roles.texts:
        inputs[called[name]] = text_input(_texts(joined, name))
    if roles.fields:
        fields, told = _table(joined, roles.fields, options)
        inputs[TABLE] = fields
        notes += told
    if not inputs:
        raise ConfigError(f"{joined.name}: there is no column to learn from beside the target")
    return inputs, notes


def _files(joined: Joined, given: str) -> list[Encoded]:
    if kinds.is_struct(joined.rows.schema.field(given).type if "{" not in given else pa.null()):
        return _stored_files(joined, given)
    names = pattern_columns(given) or [given]
    columns = {name: words_of(joined.rows[name], name) for name in names}
    return named_files(given, columns, names, joined.folder, joined.place)


def _stored_files(joined: Joined, name: str) -> list[Encoded]:
    """Return the files whose bytes stand in a column, as `datasets` keeps images and sounds."""
    files: list[Encoded] = []
    for row, cell in enumerate(joined.rows[name].to_pylist()):
        content: bytes | None = (cell or {}).get("bytes")
        path: str | None = (cell or {}).get("path")
        if content is not None:
            files.append((joined.place(row), content))
        elif path is not None:
            files.append(Path(path))
        else:
            raise DataError(f"{joined.place(row)}: column '{name}' has no file; drop the row")
    return files


def _texts(joined: Joined, name: str) -> pa.ChunkedArray:
    column = joined.rows[name]
    if not is_text(column.type):
        raise DataError(f"--text: column '{name}' has {column.type}, which is no text")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(
            f"{joined.place(row)}: column '{name}' has no text ({column.null_count} such rows); "
            "drop them, or make the texts empty"
        )
    return column.cast(pa.large_string())


def _table(joined: Joined, names: Sequence[str], options: ShardOptions) -> tuple[Input, list[str]]:
    overrides: dict[str, Any] = dict.fromkeys(options.number, "number")
    overrides |= dict.fromkeys(options.category, "category")
    try:
        column, values = infer(joined.rows.select(names), overrides)
    except DataError as error:
        raise DataError(by_line(joined, str(error))) from None
    notes = []
    for field in column.fields:
        count = len(field.categories)
        if count > FREE_TEXT and count > len(values) / 2 and field.name not in overrides:
            notes.append(
                f"column '{field.name}' is taken for a category of {count} in {len(values)} rows; "
                f"--text or --drop {field.name} says otherwise"
            )
    return array_input(column, values), notes


def by_line(joined: Joined, told: str) -> str:
    """Return a message about the rows of all tables with the place of the first row that it names,
    and with the options that help."""
    row = re.search(r"\brow (\d+)", told)
    known = row is not None and int(row[1]) < len(joined.rows)
    place = joined.place(int(row[1])) if row is not None and known else joined.name
    return f"{place}: {told} (--drop, --category and --text say what a column is)"
