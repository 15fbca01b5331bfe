"""Rows to predict that a program has in memory."""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.frames import array_of, columns_of, is_frame
from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.pixels import as_array, is_tensor
from raytl.data.importers.roles import plain_column
from raytl.data.raw.fields import field_rows, named_categories
from raytl.data.raw.pictures import image_rows
from raytl.data.raw.rows import RawReading, RawRows
from raytl.data.raw.series import series_rows
from raytl.data.raw.sounds import sound_rows
from raytl.data.raw.texts import text_rows
from raytl.errors import DataError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import TableColumn

ROWS = "the rows"
NOTHING = object()  # where a row has no value
Cells = Callable[[str], Any]  # a column's or a field's values by its name: a list, or a frame's


def python_rows(rows: Any, reading: RawReading, *, paths: bool = True) -> RawRows:
    """Return rows as a model reads them: a DataFrame, table of Arrow or Hugging Face dataset with
    its columns, a table's fields among them; or a list with, for each row, a mapping from column to
    value. Where one column alone is read its values will do: a list, an array or a tensor; those of
    a table are numbers (N, F), called c0, c1, … as in files without names.

    An image is a path, an image file's bytes, a Pillow image, an array (H, W) or (H, W, C), a
    tensor (C, H, W); a text a string; a sound a path, a .wav file's bytes, or (samples, rate); a
    series an array (T, C). Without `paths` no file is opened: a path is a bad row. Raises DataError
    where rows have not what the model reads.
    """
    count, cells = _held(rows, reading)
    if not count:
        raise DataError(f"{ROWS}: there are none")
    inputs = {
        name: _input(name, column, cells, count, reading, paths)
        for name, column in reading.columns.items()
    }
    return RawRows("row", [str(number) for number in range(count)], inputs)


def _held(rows: Any, reading: RawReading) -> tuple[int, Cells]:
    """Return how many rows there are, and their values."""
    if type(rows).__module__.partition(".")[0] == "datasets" and hasattr(rows, "with_format"):
        rows = named_categories(rows.with_format("arrow")[:], rows.features, reading)
    if is_frame(rows):
        names, columns = columns_of(rows, ROWS)
        held = dict(zip(names, columns, strict=True))
        twice = frozenset(name for name in held if names.count(name) > 1)
        return len(rows), partial(_column, held, reading, twice=twice)
    one = isinstance(rows, str | bytes | Mapping) or getattr(rows, "shape", None) == ()
    if one or not hasattr(rows, "__len__"):
        raise DataError(f"{ROWS}: must be a list or an array, got {type(rows).__name__}")
    if isinstance(reading.only, ImageColumn):
        _refuse_one_image(rows)
    listed = list(rows)  # of a tensor tensors, whose images have their channels first
    if isinstance(reading.only, TableColumn) and listed and not isinstance(listed[0], Mapping):
        return len(listed), partial(_column, _numbers(rows), reading)
    return len(listed), partial(
        _of_mappings, [_as_mapping(row, number, reading) for number, row in enumerate(listed)]
    )


def _refuse_one_image(rows: Any) -> None:
    """Raise DataError for an array (H, W, C) or a tensor (C, H, W), whose rows would be taken for
    images."""
    shape = tuple(getattr(rows, "shape", ()))
    if len(shape) == 3 and shape[0 if is_tensor(rows) else 2] in (3, 4):
        raise DataError(
            f"{ROWS}: images are {'(N, C, H, W)' if is_tensor(rows) else '(N, H, W, C)'}, but "
            f"{shape} seems to be one image; give a list of it alone"
        )


def _numbers(rows: Any) -> dict[str, Any]:
    law = f"{ROWS}: numbers of a table are (N, F), or a DataFrame with names; got"
    try:
        values = as_array(rows)
    except ValueError:
        raise DataError(f"{law} rows of unequal lengths") from None
    if values.ndim != 2:
        raise DataError(f"{law} {values.shape}")
    return {f"c{place}": pa.array(values[:, place]) for place in range(values.shape[1])}


def _column(
    columns: Mapping[str, Any], reading: RawReading, name: str, twice: Set[str] = frozenset()
) -> Any:
    """Return a frame's column by what the dataset calls it; DataError for one that is there
    `twice`."""
    fit = [name] if name in columns else [own for own in columns if plain_column(own) == name]
    if not fit and len(columns) == 1 and name in reading.columns and reading.only is not None:
        fit = list(columns)
    if len(fit) != 1:
        raise DataError(
            f"{ROWS}: have no column '{name}', which the model reads, but "
            f"{', '.join(map(str, list(columns)[:12]))}; rename the one that is meant, or add an "
            "empty one where all its values are missing"
        )
    if fit[0] in twice:
        raise DataError(f"{ROWS}: two columns are called '{fit[0]}'; rename one")
    return columns[fit[0]]


def _of_mappings(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [_cell(row, name, number) for number, row in enumerate(rows)]


def _as_mapping(row: Any, number: int, reading: RawReading) -> Mapping[str, Any]:
    alone = reading.only is not None and not isinstance(reading.only, TableColumn)
    if isinstance(row, Mapping) and not (alone and _is_file(row)):
        return row
    if alone:
        return {next(iter(reading.columns)): row}
    raise DataError(
        f"{_place(number)}: must be a mapping from column to value, got {type(row).__name__}"
    )


def _cell(row: Mapping[str, Any], name: str, number: int) -> Any:
    value = row.get(name, NOTHING)
    if value is NOTHING:
        raise DataError(
            f"{_place(number)}: has no '{name}', which the model reads; it has "
            + (", ".join(map(str, list(row)[:12])) or "nothing")
        )
    return value


def _place(number: int) -> str:
    return f"row {number}"


def _input(
    name: str, column: Column, cells: Cells, count: int, reading: RawReading, paths: bool
) -> Input:
    if isinstance(column, TableColumn):
        fields = {field.name: _plain(cells(field.name), field.name) for field in column.fields}
        return field_rows(column, fields, count, _place)
    values = _listed(cells(name))
    if isinstance(column, ImageColumn):
        return image_rows(column, _files(values, paths), reading)
    if isinstance(column, AudioColumn):
        return sound_rows(column, _files(values, paths))
    places = [_place(number) for number in range(count)]
    if isinstance(column, SeriesColumn):
        series = [_series(value, place) for value, place in zip(values, places, strict=True)]
        return series_rows(column, series, places, reading.options.window)
    return text_rows([_text(value, place) for value, place in zip(values, places, strict=True)])


def _plain(values: Any, name: str) -> list[Any]:
    found = values if isinstance(values, list) else array_of(values, ROWS, name).to_pylist()
    return list(found)


def _listed(values: Any) -> list[Any]:
    if isinstance(values, list):
        return values
    return list(values.to_pylist() if hasattr(values, "to_pylist") else values.tolist())


def _is_file(value: Any) -> bool:
    """Whether this is an image or a sound as Hugging Face's `datasets` have it."""
    return isinstance(value, Mapping) and (
        {"bytes", "path"} <= set(value) or {"array", "sampling_rate"} <= set(value)
    )


def _files(values: Sequence[Any], paths: bool) -> list[Any]:
    return [_file(value, _place(number), paths) for number, value in enumerate(values)]


def _file(value: Any, place: str, paths: bool) -> Any:
    if _is_file(value):
        if "array" in value:
            value = value["array"], value["sampling_rate"]
        else:
            value = value["path"] if value["bytes"] is None else value["bytes"]
    if not isinstance(value, str | Path):
        return (place, value)
    return Path(value) if paths else Bad(f"{place}: is a path, and no file is opened; give bytes")


def _series(value: Any, place: str) -> np.ndarray | Bad:
    try:
        series = np.asarray(as_array(value), dtype=np.float32)
    except (TypeError, ValueError):
        return Bad(f"{place}: a series is numbers (T, C), got {type(value).__name__}")
    return series[:, None] if series.ndim == 1 else series


def _text(value: Any, place: str) -> str | Bad:
    if not isinstance(value, str):
        return Bad(f"{place}: a text must be a string, got {type(value).__name__}")
    return value if value.strip() else Bad(f"{place}: has no text")
