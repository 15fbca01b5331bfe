"""Tables: whether the first line has names, what is learnt, and which part each column has."""

import csv
import io
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from raytl.data.importers.csv_files import CSV
from raytl.data.importers.opened_files import UTF_16_MARKS, opened
from raytl.data.importers.options import ShardOptions
from raytl.data.importers.table_files import JSON, PARQUET, Table, read_table_file
from raytl.errors import DataError, UserError
from raytl.folders import printable
from raytl.starting.column_roles import roles_of_columns
from raytl.starting.raw import Raw, Wanted
from raytl.starting.table_pieces import is_piece, pattern_of, splits_of_tables
from raytl.starting.target_column import NAMES, lacks_some, target_of_table

TABLES = (*CSV, *JSON, *PARQUET)
DELIMITERS = ",;\t|"
SNIFFED = 200  # lines by which it is told how rows are written


def table_file(path: Path, wanted: Wanted) -> Raw:
    """Return a table as `raytl shard table` reads it. Raises ConfigError, with the columns, where
    which one is to be learnt cannot be told."""
    how = _how_written(path, wanted.target)
    table = read_table_file(path, ShardOptions(**how))
    return _of_table(str(path), table, how, {}, wanted)


def table_of_text(path: Path, wanted: Wanted) -> Raw:
    """Return a .txt file that holds a table. Raises DataError where its lines have no two
    columns."""
    how = _how_written(path, wanted.target)
    table = read_table_file(path, ShardOptions(**how))
    if len(table.rows.column_names) < 2:
        raise DataError(
            f"{printable(path)}: its lines have no label; a text, a tab and a label in each were "
            "expected, or a file for each class: NAME.good and NAME.bad"
        )
    return _of_table(str(path), table, how, {}, wanted)


def _of_table(
    source: str, table: Table, how: dict[str, Any], splits: dict[str, str], wanted: Wanted
) -> Raw:
    target, told = target_of_table(table, wanted, named=not how.get("no_header"))
    roles = roles_of_columns(table, target)
    options = how | ({"splits": splits} if splits else {}) | {"target": target} | roles.options
    notes = (*told, *roles.notes, *taken_for(Path(table.name).name, how.get("encoding")))
    if wanted.unlabelled and lacks_some(table, target):
        options["unlabelled"] = True
        notes = (*notes, f"rows without a {target} are kept")
    names = f"{len(table.rows.column_names)} columns"
    what = f"a table, {len(table.rows):,} rows of {names}, of which {target} is learnt"
    parts = splits or roles.splits or {"train": ""}
    return Raw("table", source, options, what, notes).with_test_of(parts, roles.groups)


def table_folder(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return a folder's one table, or its tables that are splits of one, in pieces maybe, or many
    Parquet files; None where it holds no such. Raises DataError for pieces that are not read
    together."""
    tables = [f for f in files if f.suffix.lower() in (*CSV, *JSON, *PARQUET) or _is_packed(f)]
    tables = [file for file in tables if file.suffix.lower() != ".txt"]
    if len(tables) == 1 and not is_piece(tables[0]):
        return table_file(tables[0], wanted)
    splits = splits_of_tables(root, tables)
    if splits:
        first = next(iter(splits.values()))[0]
        how = _how_written(first, wanted.target)
        named = {name: pattern_of(name, of) for name, of in splits.items()}
        raw = _of_table(str(root), read_table_file(first, ShardOptions(**how)), how, named, wanted)
        return raw if len(tables) == len(splits) else _of_files(raw, len(tables))
    if tables and all(file.suffix.lower() in PARQUET for file in tables):
        raw = _of_table(str(root), read_table_file(tables[0], ShardOptions()), {}, {}, wanted)
        return _of_files(raw, len(tables))
    return None


def _of_files(raw: Raw, count: int) -> Raw:
    return replace(raw, what=f"{count} Parquet files")


def table_of_files(
    root: Path, files: list[Path], folders: list[Path], wanted: Wanted
) -> Raw | None:
    """Return a folder's one table where it names images or sounds in the folders beside it; None
    where it does not."""
    tables = [file for file in files if file.suffix.lower() in TABLES]
    if len(tables) != 1 or not folders:
        return None
    try:
        raw = table_file(tables[0], wanted)
    except UserError:  # of no use as a table; the folders may be of classes
        return None
    return raw if {"image", "audio"} & raw.options.keys() else None


def _is_packed(file: Path) -> bool:
    return file.suffix == ".gz" and Path(file.stem).suffix.lower() in (*CSV, *JSON)


def _how_written(path: Path, target: str | None) -> dict[str, Any]:
    """Return the options of `raytl shard` that say how a file of text is written: its encoding, its
    delimiter, whether its first line is a row. `target`: what the target is called, if that was
    said."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in CSV:
        return {}
    encoding = encoding_of(path)
    how: dict[str, Any] = {} if encoding is None else {"encoding": encoding}
    lines = _first_lines(path, encoding or "utf-8-sig")
    if not lines:
        return how  # the importer says what is wrong
    usual = "\t" if ".tsv" in path.name else ","
    counts = {mark: lines[0].count(mark) for mark in DELIMITERS}
    mark = usual if counts[usual] else max(counts, key=lambda one: counts[one])
    if mark != usual and counts[mark]:
        how["delimiter"] = mark
    if not _has_header(_sniffed(lines, mark), target):
        how["no_header"] = True
    return how


def _sniffed(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the rows of the first lines, whatever the length of a value."""
    usual = csv.field_size_limit(sys.maxsize)
    try:
        rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
        return [row for row in rows if row]
    finally:
        csv.field_size_limit(usual)


def _first_lines(path: Path, encoding: str) -> list[str]:
    try:
        with io.TextIOWrapper(opened(path), encoding, errors="replace", newline="") as file:
            every = (line.rstrip("\r\n") for line, _ in zip(file, range(SNIFFED), strict=False))
            return [line for line in every if line.strip()]
    except (OSError, EOFError) as error:
        raise DataError(f"{printable(path)}: cannot be read: {error}") from None


def encoding_of(path: Path) -> str | None:
    """Return utf-16 for text that begins with its mark, latin-1 for other text that is no UTF-8;
    None for UTF-8, which is the usual one."""
    try:
        with opened(path) as file:
            if file.read(2) in UTF_16_MARKS:
                return "utf-16"
        with opened(path) as file:
            for line in file:
                line.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    except (OSError, EOFError) as error:
        raise DataError(f"{printable(path)}: cannot be read: {error}") from None
    return None


def taken_for(name: str, encoding: str | None) -> tuple[str, ...]:
    """Return what to say of an encoding that was not told by the text: any bytes are latin-1."""
    if encoding != "latin-1":
        return ()
    return (
        f"{name} is no UTF-8 and is read as latin-1; shard it by hand with --encoding where it is "
        "another",
    )


def _has_header(rows: list[list[str]], target: str | None) -> bool:
    """Whether the first row has names: one is what a target is called; or they are the numbers that
    pandas gives columns; else, where a column below is of numbers, its name is none, and where none
    is, the words of the first row come again below if it is a row."""
    if len(rows) < 2:
        return True
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    for k, word in enumerate(first):
        if (word == target or word.lower() in NAMES) and all(row[k] != word for row in below):
            return True
    if len(first) > 2 and first == [str(k) for k in range(len(first))]:
        return True
    if len(set(first)) < len(first):  # names are each another; the importer says so of words
        return not any(_is_number(word) for word in first)
    numeric = [k for k in range(len(first)) if below and all(_is_number(r[k]) for r in below)]
    if numeric:
        return not any(first[k].strip() and _is_number(first[k]) for k in numeric)
    again = Counter(row[k] == first[k] for row in below for k in range(len(first)))
    return again[True] == 0


def _is_number(word: str) -> bool:
    word = word.strip().strip("'\"")
    if word in ("", "?"):
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True
