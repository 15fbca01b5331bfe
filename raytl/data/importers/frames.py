"""Tables in memory: DataFrames of pandas, polars and others, tables of Arrow.

Legend: N rows.
"""

import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.pixels import native, pixels_of
from raytl.data.importers.table_files import Table
from raytl.data.importers.words import plain_values
from raytl.errors import DataError
from raytl.modalities.table.infer import refuse_several_types
from raytl.modalities.table.texts import is_missing

FILES = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])  # as `datasets` has
ROOT = Path("/")  # all paths of a person's own table are made absolute


def is_frame(data: Any) -> bool:
    """Whether this is a table: pandas' DataFrame, or what hands itself over as Arrow's stream."""
    # Columns alone, such as pandas' Series, hand themselves over, too
    return _is_pandas(data) or (
        hasattr(data, "__arrow_c_stream__") and getattr(data, "ndim", 2) == 2
    )


def _is_pandas(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def frame_table(data: Any, name: str, options: ShardOptions) -> Table:
    """Return a table in memory as Arrow's. The column of `image` or `audio` may hold paths, taken
    from the working directory; that of `image` also bytes of files, images of Pillow, or arrays.

    Raises DataError for one without rows, for columns without a name or of the same name, and for
    values that Arrow cannot hold, by column and row.
    """
    names, columns = columns_of(data, name)
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{name}: two columns are called '{twice}'; rename one")
    if "" in names:
        raise DataError(f"{name}: column {names.index('')} has no name; name it")
    if not names or not len(columns[0]):
        raise DataError(f"{name}: there are no rows; leave the split out, or give some")
    arrays = {}
    for column, values in zip(names, columns, strict=True):
        media = column in (options.image, options.audio)
        arrays[column] = _files(values, name, column) if media else array_of(values, name, column)
    return Table(name, pa.table(arrays), ROOT)


def with_absolute_patterns(options: ShardOptions) -> ShardOptions:
    """Return the options with patterns of paths, such as pictures/{row}.png, taken from the working
    directory."""
    given = {"image": options.image, "audio": options.audio}
    patterns = {
        kind: os.path.abspath(pattern)
        for kind, pattern in given.items()
        if pattern and "{" in pattern
    }
    return options.model_copy(update=patterns) if patterns else options


def columns_of(data: Any, name: str) -> tuple[list[str], list[Any]]:
    """Return the names of a table's columns and, for each, pandas' Series or Arrow's array. Raises
    DataError for what is no table."""
    if _is_pandas(data):
        names = ["" if column is None else str(column) for column in data.columns]
        return names, [data.iloc[:, place] for place in range(len(names))]
    try:
        table = data if isinstance(data, pa.Table) else pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as a table: {_first(error)}") from None
    return table.column_names, table.columns


def array_of(values: Any, name: str, column: str) -> pa.Array | pa.ChunkedArray:
    """Return a column as Arrow's. Raises DataError, with the name of the table and the column, for
    values of several types."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        found = values
    else:
        if values.dtype == object:
            refuse_several_types(column, values.tolist())
        if hasattr(values, "sparse"):
            values = values.sparse.to_dense()
        values = native(values)
        try:
            found = pa.array(values, from_pandas=True)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise DataError(
                f"{name}: column '{column}' cannot be read: {_first(error)}; drop it"
            ) from None
    return plain_values(found)


def categorical_columns(data: Any) -> tuple[str, ...]:
    """Return the names of the columns that pandas calls categorical."""
    if not _is_pandas(data):
        return ()
    kinds = zip(data.columns, data.dtypes, strict=True)
    return tuple(str(name) for name, kind in kinds if kind.name == "category")


def refuse_other_order(rows: Any, targets: Any, name: str) -> None:
    """Raise DataError where pandas' X and y have one index in two orders: they are rows by their
    places, so that each row would get another's target."""
    mine: Any = getattr(rows, "index", None)
    other: Any = getattr(targets, "index", None)
    if not (hasattr(mine, "equals") and hasattr(other, "equals")):  # a list has another `index`
        return
    same = mine.equals(other) or len(mine) != len(other)
    if not same and mine.is_unique and mine.isin(other).all():
        raise DataError(
            f"{name}: X and y have the same index in different orders, and are taken by their "
            "places; give y.loc[X.index]"
        )


def _files(values: Any, name: str, column: str) -> pa.Array:
    """Return a column of files: what each cell holds, or where it is."""
    cells = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else values
    return pa.array(
        [_file(cell, f"{name}, row {row}: column '{column}'") for row, cell in enumerate(cells)],
        FILES,
    )


def _file(cell: Any, place: str) -> dict[str, Any] | None:
    if is_missing(cell):
        return None  # which is refused with all that lack one
    if isinstance(cell, dict) and set(cell) >= {"bytes", "path"}:
        if cell["bytes"] is not None:
            return {"bytes": cell["bytes"], "path": None}
        return None if cell["path"] is None else _file(cell["path"], place)
    if isinstance(cell, bytes | bytearray | memoryview):
        return {"bytes": bytes(cell), "path": None}
    if isinstance(cell, str | os.PathLike):
        path = os.path.abspath(cell)
        if not os.path.isfile(path):
            raise DataError(f"{place}: no such file: {path}")
        return {"bytes": None, "path": path}
    return {"bytes": _png(cell, place), "path": None}


def _png(image: Any, place: str) -> bytes:
    """Return pixels as a PNG file, which loses nothing."""
    from PIL import Image

    pixels = pixels_of(image, place)
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{place}: images of a table have whole numbers from 0 to 255 (uint8), got "
            f"{pixels.dtype}; give them so, or (images, labels) as arrays"
        )
    if pixels.shape[2] not in (1, 3):
        raise DataError(
            f"{place}: images of a table have 1 or 3 channels, got {pixels.shape[2]}; give "
            "(images, labels) as arrays"
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "png")
    return buffer.getvalue()


def arrow_table(columns: dict[str, Any], name: str) -> Table:
    """Return arrays of NumPy, one a column, as a table."""
    series: Iterable[tuple[str, Sequence[Any] | np.ndarray]] = columns.items()
    arrays = {}
    for column, values in series:
        try:
            arrays[column] = pa.array(values, from_pandas=True)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise DataError(f"{name}: column '{column}': {_first(error)}") from None
    return Table(name, pa.table(arrays), ROOT)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
