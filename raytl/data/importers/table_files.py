"""Files of tables: CSV, Parquet and JSON lines, as Arrow tables.

Legend: N rows.
"""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv

from raytl.data.importers.base import ShardOptions
from raytl.errors import DataError
from raytl.folders import printable
from raytl.remote_files import download
from raytl.urls import Place, Url

CSV = (".csv", ".tsv", ".txt")
JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
KINDS = ".csv, .tsv, .csv.gz, .parquet or .jsonl"
OTHER_DELIMITERS = ";\t|,"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


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


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a DataError that names it."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)}: no whole gzip file: {error}") from None
    except UnicodeError:
        raise _not_in(path, "utf-8") from None
    except OSError as error:
        raise DataError(
            f"{printable(path)}: cannot be read: {error.strerror or _first(error)}"
        ) from None
    except (pa.ArrowException, csv.Error) as error:
        raise DataError(f"{printable(path)}: {_first(error)}") from None


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def opened(path: Path) -> IO[bytes]:
    """Open a file, gzipped or not."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _not_in(path: Path, encoding: str) -> DataError:
    """Return what is wrong with a text of another encoding, its first such line by number."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                marked = number == 1 and line.startswith(UTF_16_MARKS)
                return not_decoded(printable(path), number, error.start, encoding, utf_16=marked)
    return DataError(f"{printable(path)}: is no {encoding}; name the file's --encoding")


def not_decoded(
    name: str, line: int, byte: int, encoding: str, *, utf_16: bool = False
) -> DataError:
    """Return the error for a line that is no text in an encoding. `utf_16`: it looks as that."""
    usual = "utf-16" if utf_16 else "latin-1"
    other = usual if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else "utf-8"
    return DataError(
        f"{name}, line {line}: byte {byte} is no {encoding}; save it as UTF-8, or name the file's "
        f"encoding, e.g. --encoding {other}"
    )


def _read_csv(path: Path, options: ShardOptions, uneven: bool) -> Table:
    encoding = options.encoding or "utf-8"
    delimiter = _delimiter(path, options)
    with reading(path):
        header = _header(path, encoding, delimiter)
        names = [f"c{i}" for i in range(len(header))] if options.no_header else header
        _refuse_other_delimiter(path, header, delimiter)
        first = 1 if options.no_header else 2
        told: dict[int, str] | None = {} if uneven else None
        rows = _strings(path, names, encoding, delimiter, first, told)
    if not told:
        return Table(printable(path), rows, path.parent, _first_line(path, rows, first))
    numbers = [row for row in range(len(rows) + len(told)) if row not in told]
    return Table(
        printable(path), rows, path.parent, uneven=told,
        place=lambda row: f"{printable(path)}, line {numbers[row] + first}",
    )  # fmt: skip


def _header(path: Path, encoding: str, delimiter: str) -> list[str]:
    text = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        with io.TextIOWrapper(opened(path), text, newline="") as file:
            row = next((row for row in csv.reader(file, delimiter=delimiter) if row), None)
    except UnicodeError:
        raise _not_in(path, encoding) from None
    if row is None:
        raise DataError(f"{printable(path)}: the file is empty; give one with rows")
    return [name.strip() for name in row]


def with_own_delimiter(path: Path, options: ShardOptions) -> ShardOptions:
    """Return options by which a CSV file is read that was written with another delimiter than they
    say: where its first line is one column alone by theirs, and several by another."""
    if path.suffix.lower() not in CSV or not path.is_file():
        return options
    delimiter = _delimiter(path, options)
    with reading(path):
        header = _header(path, options.encoding or "utf-8", delimiter)
    other = _other_delimiter(header)
    return options if other is None else options.model_copy(update={"delimiter": other})


def _delimiter(path: Path, options: ShardOptions) -> str:
    return options.delimiter or ("\t" if ".tsv" in path.name else ",")


def _other_delimiter(header: list[str]) -> str | None:
    return next((d for d in OTHER_DELIMITERS if len(header) == 1 and d in header[0]), None)


def _refuse_other_delimiter(path: Path, header: list[str], delimiter: str) -> None:
    other = _other_delimiter(header)
    if other is not None:
        told = "tab" if other == "\t" else f"'{other}'"
        raise DataError(
            f"{printable(path)}: one column alone, '{header[0][:40]}', when rows are parted by "
            f"'{delimiter}'; give --delimiter {told}"
        )


def _strings(
    path: Path, names: list[str], encoding: str, delimiter: str, first: int,
    uneven: dict[int, str] | None,
) -> pa.Table:  # fmt: skip
    """Return every column as strings, empty ones included. Rows of another length are put into
    `uneven`, where that is given. `first`: the line of the first row."""

    def odd(row: pa_csv.InvalidRow) -> str:
        if uneven is None or row.number < first:
            return "error"
        uneven[row.number - first] = str(
            _of_another_length(path, row.number, row.expected_columns, row.actual_columns)
        )
        return "skip"

    # Columns are read under numbers: Arrow's own complaint of equal names has no file in it.
    numbered = [str(i) for i in range(len(names))]
    try:
        with opened(path) as file:
            table = pa_csv.read_csv(
                file,
                read_options=pa_csv.ReadOptions(
                    use_threads=False, column_names=numbered, encoding=encoding
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=odd
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in numbered}, strings_can_be_null=False
                ),
            )
    except (pa.ArrowException, UnicodeError) as error:
        if isinstance(error, UnicodeError) or "UTF8" in str(error):
            raise _not_in(path, encoding) from None
        raise _uneven(path, error) from None
    return table.slice(first - 1).rename_columns(names)


def _uneven(path: Path, error: Exception) -> DataError:
    told = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
    if told is None:
        return DataError(f"{printable(path)}: {_first(error)}")
    return _of_another_length(path, *map(int, told.groups()))


def _of_another_length(path: Path, line: int, expected: int, got: int) -> DataError:
    return DataError(
        f"{printable(path)}, line {line}: {expected} columns were expected, as in the first "
        f"line, got {got}; mend the line, or quote what has the delimiter in it"
    )


def _first_line(path: Path, rows: pa.Table, first: int) -> int | None:
    """Return `first` where every row is a line: no value has a newline, and no line is blank."""
    with opened(path) as file:
        lines = sum(1 for _ in file)
    return first if lines == len(rows) + first - 1 else None


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with reading(path):
        return pq.read_table(path)


def _read_json(path: Path) -> Table:
    import pyarrow.json as pa_json

    with reading(path), opened(path) as file:
        content = file.read()
        if not content.strip():
            raise DataError(f"{printable(path)}: the file is empty; give one with rows")
        if content.lstrip()[:1] == b"[":
            raise DataError(
                f"{printable(path)}: JSON is read as lines, an object {{…}} each, not as one list"
            )
        try:
            rows = pa_json.read_json(
                io.BytesIO(content), read_options=pa_json.ReadOptions(use_threads=False)
            )
        except pa.ArrowInvalid as error:
            told = re.search(r"(.*?) in row (\d+)$", _first(error))
            if told is None:
                raise
            raise DataError(
                f"{printable(path)}, line {int(told[2]) + 1}: {told[1].rstrip('.')}"
            ) from None
    return Table(printable(path), rows, path.parent, 1)
