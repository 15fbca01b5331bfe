"""Files of tables: CSV, Parquet and JSON lines, as Arrow tables.

Legend: N rows.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pyarrow as pa

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.csv_files import (
    CSV,
    delimiter_of,
    header_of,
    refuse_other_delimiter,
    strings_of,
)
from raytl.data.importers.opened_files import by_blocks, first_of, opened, reading
from raytl.errors import DataError
from raytl.folders import printable
from raytl.remote_files import download
from raytl.urls import Place, Url

JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
KINDS = ".csv, .tsv, .csv.gz, .parquet or .jsonl"


@dataclass(frozen=True)
class Table:
    """A table and where it came from. Of a CSV file every column is one of strings."""

    name: str
    rows: pa.Table
    folder: Place | None = None  # that paths in it are relative to
    first_line: int | None = None  # of the first row in the file, where a row is a line
    place: Callable[[int], str] | None = None  # where a row stands, if not in one file
    # Rows that are no rows, by their numbers among all, and what is wrong with them
    uneven: Mapping[int, str] = field(default_factory=dict)


def read_table_file(place: Place, options: ShardOptions, *, uneven: bool = False) -> Table:
    """Read a file, its kind by its suffix, here or behind a URL. With `uneven` rows of a CSV file
    that are longer or shorter than its first line are left out, and told in `Table.uneven`.

    Raises DataError, with the line where it is known, for a file that is missing, empty or broken,
    for rows of unequal lengths, and for columns without a name or of the same name.
    """
    if isinstance(place, Url):
        return _far(place, options)
    path = place
    suffix = Path(path.stem).suffix + ".gz" if path.suffix == ".gz" else path.suffix
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{printable(path)}: {what}; give a file of a table: {KINDS}")
    if suffix.lower().removesuffix(".gz") in CSV:
        table = _read_csv(path, options, uneven)
    elif suffix.lower() in PARQUET:
        table = Table(printable(path), _read_parquet(path), path.parent)
    elif suffix.lower().removesuffix(".gz") in JSON:
        table = _read_json(path)
    else:
        raise DataError(f"{printable(path)}: tables are read from {KINDS}")
    table = _without_index(table)
    _check(table)
    return table


def _without_index(table: Table) -> Table:
    """Leave out a first column that has no name, and a whole number of its own in each row: the
    index that pandas writes."""
    if table.rows.column_names[:1] != [""] or table.rows.num_columns == 1:
        return table
    words = table.rows.column(0).to_pylist()
    numbered = all(word is not None and str(word).strip().isdecimal() for word in words)
    if not numbered or len(set(words)) < len(words):
        return table
    return replace(table, rows=table.rows.select(range(1, table.rows.num_columns)))


def _far(url: Url, options: ShardOptions) -> Table:
    with TemporaryDirectory(prefix="raytl-") as folder:
        path = Path(folder) / url.name
        try:
            download(url, path)
            table = read_table_file(path, options)
        except FileNotFoundError:
            raise DataError(f"{url.shown}: no such file; give a file of a table: {KINDS}") from None
        except DataError as error:
            raise DataError(str(error).replace(printable(path), url.shown)) from None
    return replace(table, name=url.shown, folder=url.folder)


def _check(table: Table) -> None:
    names = table.rows.column_names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{table.name}: two columns are called '{twice}'; rename one")
    if "" in names:
        raise DataError(
            f"{table.name}: column {names.index('')} has no name; name it, or give --no-header"
        )
    if not len(table.rows):
        raise DataError(f"{table.name}: there are no rows; give a file that has some")


def _read_csv(path: Path, options: ShardOptions, uneven: bool) -> Table:
    encoding = options.encoding or "utf-8"
    delimiter = delimiter_of(path, options)
    with reading(path):
        header = header_of(path, encoding, delimiter)
        names = [f"c{i}" for i in range(len(header))] if options.no_header else header
        refuse_other_delimiter(path, header, delimiter)
        first = 1 if options.no_header else 2
        told: dict[int, str] | None = {} if uneven else None
        rows = strings_of(path, names, encoding, delimiter, first, told)
    if not told:
        return Table(printable(path), rows, path.parent, _first_line(path, rows, first))
    numbers = [row for row in range(len(rows) + len(told)) if row not in told]
    return Table(
        printable(path), rows, path.parent, uneven=told,
        place=lambda row: f"{printable(path)}, line {numbers[row] + first}",
    )  # fmt: skip


def _first_line(path: Path, rows: pa.Table, first: int) -> int | None:
    """Return `first` where every row is a line: no value has a newline, and no line is blank."""
    with opened(path) as file:
        lines = sum(1 for _ in file)
    return first if lines == len(rows) + first - 1 else None


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with reading(path):
        return pq.read_table(path)


def _json_rows(file: IO[bytes], block: int) -> pa.Table:
    import pyarrow.json as pa_json

    return pa_json.read_json(file, pa_json.ReadOptions(use_threads=False, block_size=block))


def _read_json(path: Path) -> Table:
    with reading(path), opened(path) as file:
        content = file.read()
        if not content.strip():
            raise DataError(f"{printable(path)}: the file is empty; give one with rows")
        if content.lstrip()[:1] == b"[":
            raise DataError(
                f"{printable(path)}: JSON is read as lines, an object {{…}} each, not as one list"
            )
        try:
            rows = by_blocks(io.BytesIO(content), _json_rows)
        except pa.ArrowInvalid as error:
            told = re.search(r"(.*?) in row (\d+)$", first_of(error))
            if told is None:
                raise
            raise DataError(
                f"{printable(path)}, line {int(told[2]) + 1}: {told[1].rstrip('.')}"
            ) from None
    return Table(printable(path), rows, path.parent, 1)
