"""Arrow's columns as words, and the files that they name."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.types as kinds

from raytl.data.importers.encoded import Encoded
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.table.texts import spelled


def is_text(kind: pa.DataType) -> bool:
    """Whether Arrow's type is one of strings."""
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)


def words_of(column: pa.ChunkedArray, name: str) -> list[str | None]:
    """Return every value as a word: whole floats without a point, true and false, None where there
    is no value. Raises DataError where values are no words or numbers: lists, say."""
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kinds.is_nested(column.type) or kinds.is_binary(column.type):
        raise DataError(
            f"column '{name}' has {column.type} where a word or a number is needed; give another"
        )
    values = column.to_pylist()
    if is_text(column.type):
        return values
    if kinds.is_boolean(column.type):
        return [None if value is None else str(value).lower() for value in values]
    return [None if value is None or value != value else spelled(value) for value in values]


def named_files(
    given: str,
    columns: Mapping[str, Sequence[str | None]],
    names: Sequence[str],
    folder_of: Callable[[int], Path],
    place: Callable[[int], str],
) -> list[Encoded]:
    """Return the file that each row names: the column `given`, or a pattern of the columns `names`.

    Raises DataError for a row that names none, for a path that leaves its folder, and for a file
    that is not there.
    """
    files: list[Encoded] = []
    real: dict[Path, str] = {}
    for row in range(len(next(iter(columns.values())))):
        words = {name: columns[name][row] for name in names}
        missing = next((name for name, word in words.items() if not word), None)
        if missing is not None:
            raise DataError(f"{place(row)}: column '{missing}' names no file; drop the row")
        path = given.format(**words) if "{" in given else str(words[given])
        files.append(_inside(folder_of(row), path, real, place, row))
    return files


def _inside(
    folder: Path, given: str, real: dict[Path, str], place: Callable[[int], str], row: int
) -> Path:
    if folder not in real:
        real[folder] = os.path.realpath(folder)
    path = folder / given
    if not os.path.realpath(path).startswith(real[folder] + os.sep):
        raise DataError(
            f"{place(row)}: the path '{printable(given)[:80]}' leaves the folder "
            f"{printable(folder)}; give paths inside it"
        )
    if not path.is_file():
        raise DataError(
            f"{place(row)}: no such file: {printable(path)}; paths are taken from the folder of "
            "the table"
        )
    return path
