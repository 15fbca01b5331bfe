"""Arrow's columns as words, and the files that they name."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.types as kinds

from raytl.data.importers.encoded import Encoded
from raytl.data.importers.roles import filled
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.table.texts import is_missing, spelled
from raytl.urls import Place, Url, is_url


def is_text(kind: pa.DataType) -> bool:
    """Whether Arrow's type is one of strings."""
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)


def plain_values(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column whose values are not told by a dictionary, nor of a type that a program has
    made, such as the intervals of pandas."""
    if kinds.is_dictionary(column.type):
        flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        column = flat.dictionary_decode()
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def words_of(column: pa.ChunkedArray, name: str) -> list[str | None]:
    """Return every value as a word: whole floats without a point, true and false, None where there
    is no value. Raises DataError where values are no words or numbers: lists, say."""
    column = plain_values(column)
    if kinds.is_nested(column.type) or kinds.is_binary(column.type):
        raise DataError(
            f"column '{name}' has {column.type} where a word or a number is needed; give another"
        )
    values = column.to_pylist()
    if is_text(column.type):
        return values
    if kinds.is_boolean(column.type):
        return [None if value is None else str(value).lower() for value in values]
    return [None if is_missing(value) else spelled(value) for value in values]


def named_files(
    given: str,
    columns: Mapping[str, Sequence[str | None]],
    names: Sequence[str],
    folder_of: Callable[[int], Place],
    place: Callable[[int], str],
) -> list[Encoded]:
    """Return the file that each row names: the column `given`, or a pattern of the columns `names`.
    It is a path from the table's folder, which may lie behind a URL, or a URL.

    Raises DataError for a row that names none, for a path that leaves its folder, and for a file
    of this machine that is not there; what is behind a URL is asked for when it is read.
    """
    files: list[Encoded] = []
    real: dict[Path, str] = {}
    for row in range(len(next(iter(columns.values())))):
        words = {name: columns[name][row] or "" for name in names}
        missing = next((name for name, word in words.items() if not word), None)
        if missing is not None:
            raise DataError(f"{place(row)}: column '{missing}' names no file; drop the row")
        path = filled(given, words) if "{" in given else words[given]
        folder = folder_of(row)
        if isinstance(folder, Url) or is_url(path):
            files.append(_behind_url(folder, path, place, row))
        else:
            files.append(_inside(folder, path, real, place, row))
    return files


def _behind_url(folder: Place, given: str, place: Callable[[int], str], row: int) -> Url:
    if is_url(given):
        try:
            return Url(given)
        except ValueError as error:
            raise DataError(f"{place(row)}: a URL {error}") from None
    assert isinstance(folder, Url)
    if given.startswith("/") or ".." in given.split("/"):
        raise _leaves(folder.shown, given, place, row)
    return folder / given


def _leaves(folder: str, given: str, place: Callable[[int], str], row: int) -> DataError:
    return DataError(
        f"{place(row)}: the path '{printable(given)[:80]}' leaves the folder {folder}; give paths "
        "inside it"
    )


def _inside(
    folder: Path, given: str, real: dict[Path, str], place: Callable[[int], str], row: int
) -> Path:
    if folder not in real:
        real[folder] = os.path.realpath(folder)
    path = folder / given
    if not os.path.realpath(path).startswith(os.path.join(real[folder], "")):
        raise _leaves(printable(folder), given, place, row)
    if not path.is_file():
        raise DataError(
            f"{place(row)}: no such file: {printable(path)}; paths are taken from the folder of "
            "the table"
        )
    return path
