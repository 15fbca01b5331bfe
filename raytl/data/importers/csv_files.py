"""CSV files: how rows are parted, and their columns as strings."""

import csv
import io
import re
from collections import deque
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.opened_files import by_blocks, first_of, not_in, opened, reading
from raytl.errors import DataError
from raytl.folders import printable

CSV = (".csv", ".tsv", ".txt")
OTHER_DELIMITERS = ";\t|,"
LINE_END = re.compile(r"\r\n?|\n")


def header_of(path: Path, encoding: str, delimiter: str) -> list[str]:
    """Return the words of the first line that is not blank. Raises DataError where there is none,
    or it is no text in the encoding."""
    text = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        with io.TextIOWrapper(opened(path), text, newline="") as file:
            row = next((row for row in csv.reader(file, delimiter=delimiter) if row), None)
    except UnicodeError:
        raise not_in(path, encoding) from None
    if row is None:
        raise DataError(f"{printable(path)}: the file is empty; give one with rows")
    return [name.strip() for name in row]


def with_own_delimiter(path: Path, options: ShardOptions) -> ShardOptions:
    """Return options by which a CSV file is read that was written with another delimiter than they
    say: where its first line is one column alone by theirs, and several by another."""
    if path.suffix.lower() not in CSV or not path.is_file():
        return options
    delimiter = delimiter_of(path, options)
    with reading(path):
        header = header_of(path, options.encoding or "utf-8", delimiter)
    other = _other_delimiter(header)
    return options if other is None else options.model_copy(update={"delimiter": other})


def delimiter_of(path: Path, options: ShardOptions) -> str:
    """Return what parts a file's columns: `--delimiter`, or what its name says."""
    return options.delimiter or ("\t" if ".tsv" in path.name else ",")


def _other_delimiter(header: list[str]) -> str | None:
    return next((d for d in OTHER_DELIMITERS if len(header) == 1 and d in header[0]), None)


def refuse_other_delimiter(path: Path, header: list[str], delimiter: str) -> None:
    """Raise DataError for a first line of one column that another delimiter would part."""
    other = _other_delimiter(header)
    if other is not None:
        told = "tab" if other == "\t" else f"'{other}'"
        raise DataError(
            f"{printable(path)}: one column alone, '{header[0][:40]}', when rows are parted by "
            f"'{delimiter}'; give --delimiter {told}"
        )


def strings_of(
    path: Path, names: list[str], encoding: str, delimiter: str, first: int,
    uneven: dict[int, str] | None,
) -> pa.Table:  # fmt: skip
    """Return every column as strings, empty ones included. Rows of another length are put into
    `uneven`, where that is given, and else are a DataError. `first`: the line of the first row."""

    def odd(row: pa_csv.InvalidRow) -> str:
        if uneven is None or row.number < first:
            return "error"
        uneven[row.number - first] = str(
            _of_another_length(path, row.number, row.expected_columns, row.actual_columns)
        )
        return "skip"

    # Columns are read under numbers: Arrow's own complaint of equal names has no file in it.
    numbered = [str(i) for i in range(len(names))]
    options: dict[str, Any] = {
        "parse_options": pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=odd
        ),
        "convert_options": pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in numbered}, strings_can_be_null=False
        ),
    }

    def read(file: IO[bytes], block: int) -> pa.Table:
        how = pa_csv.ReadOptions(
            use_threads=False, column_names=numbered, encoding=encoding, block_size=block
        )
        return pa_csv.read_csv(file, how, **options)

    try:
        with opened(path) as file:
            table = by_blocks(file, read)
    except (pa.ArrowException, UnicodeError) as error:
        if isinstance(error, UnicodeError) or "UTF8" in str(error):
            raise not_in(path, encoding) from None
        raise _uneven(path, error) from None
    told = uneven or {}
    if len(table) + len(told) - first not in told:  # else the last row is told already
        _check_closed(path, table, encoding)
    return table.slice(first - 1).rename_columns(names)


def _check_closed(path: Path, table: pa.Table, encoding: str) -> None:
    """Raise DataError where the last value of the last row, of several lines, is one that a quote
    opens and none closes: it has all rows that follow in it."""
    last = table.column(table.num_columns - 1)[-1].as_py() if len(table) else None
    if not last or LINE_END.search(last) is None:
        return
    with io.TextIOWrapper(opened(path), encoding) as file:
        written = ((number, line.rstrip()) for number, line in enumerate(file, 1) if line.strip())
        number, end = deque(written, maxlen=1)[0]
    quotes = len(end) - len(end.rstrip('"'))
    if quotes % 2 == 0:  # a doubled one closes nothing
        begins = number - len(LINE_END.findall(last.rstrip()))
        raise DataError(
            f"{printable(path)}, line {begins}: a quote is opened and never closed, so that all "
            "rows that follow would be one value; close it, or double it"
        )


def _uneven(path: Path, error: Exception) -> DataError:
    told = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
    if told is None:
        return DataError(f"{printable(path)}: {first_of(error)}")
    return _of_another_length(path, *map(int, told.groups()))


def _of_another_length(path: Path, line: int, expected: int, got: int) -> DataError:
    return DataError(
        f"{printable(path)}, line {line}: {expected} columns were expected, as in the first "
        f"line, got {got}; mend the line, or quote what has the delimiter in it"
    )
