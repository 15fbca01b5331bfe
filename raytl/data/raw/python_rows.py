"""Rows to predict that a program has in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.inputs import Bad, Input
from raytl.data.raw.fields import field_rows
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

NOTHING = object()  # where a row has no value


def python_rows(rows: Sequence[Any], reading: RawReading, *, paths: bool = True) -> RawRows:
    """Return rows as a model reads them: a mapping each from column to value, a table's fields
    among the columns; where one column alone is read, and no table, its value will do.

    An image is a path, an image file's bytes, a Pillow image or uint8 (H, W) or (H, W, C); a text
    a string; a sound a path, a .wav file's bytes, or (samples, rate); a series an array (T, C).
    Without `paths` no file is opened: a path is a bad row. Raises DataError where a row has not
    what the model reads.
    """
    if not rows:
        raise DataError("predict: rows must hold a row at least, but there is none")
    every = [_as_mapping(row, number, reading) for number, row in enumerate(rows)]
    inputs = {name: _input(name, column, every, reading, paths)
              for name, column in reading.columns.items()}  # fmt: skip
    return RawRows("row", [str(number) for number in range(len(every))], inputs)


def _as_mapping(row: Any, number: int, reading: RawReading) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if reading.only is not None and not isinstance(reading.only, TableColumn):
        return {next(iter(reading.columns)): row}
    raise DataError(
        f"{_place(number)}: must be a mapping from column to value, got {type(row).__name__}"
    )


def _place(number: int) -> str:
    return f"row {number}"


def _input(
    name: str, column: Column, rows: Sequence[Mapping[str, Any]], reading: RawReading, paths: bool
) -> Input:
    if isinstance(column, TableColumn):
        cells = {
            field.name: [_cell(row, field.name, number) for number, row in enumerate(rows)]
            for field in column.fields
        }
        return field_rows(column, cells, len(rows), _place)
    values = [_cell(row, name, number) for number, row in enumerate(rows)]
    if isinstance(column, ImageColumn):
        return image_rows(column, _named(values, paths), reading)
    if isinstance(column, AudioColumn):
        return sound_rows(column, _named(values, paths))
    places = [_place(number) for number in range(len(rows))]
    if isinstance(column, SeriesColumn):
        series = [_series(value, place) for value, place in zip(values, places, strict=True)]
        return series_rows(column, series, places, reading.options.window)
    return text_rows([_text(value, place) for value, place in zip(values, places, strict=True)])


def _cell(row: Mapping[str, Any], name: str, number: int) -> Any:
    value = row.get(name, NOTHING)
    if value is NOTHING:
        raise DataError(
            f"{_place(number)}: has no '{name}', which the model reads; it has "
            + (", ".join(map(str, list(row)[:12])) or "nothing")
        )
    return value


def _named(values: Sequence[Any], paths: bool) -> list[Any]:
    return [_file(value, _place(number), paths) for number, value in enumerate(values)]


def _file(value: Any, place: str, paths: bool) -> Any:
    if not isinstance(value, str | Path):
        return (place, value)
    return Path(value) if paths else Bad(f"{place}: is a path, and no file is opened; give bytes")


def _series(value: Any, place: str) -> np.ndarray | Bad:
    try:
        series = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        return Bad(f"{place}: a series is numbers (T, C), got {type(value).__name__}")
    return series[:, None] if series.ndim == 1 else series


def _text(value: Any, place: str) -> str | Bad:
    if not isinstance(value, str):
        return Bad(f"{place}: a text must be a string, got {type(value).__name__}")
    return value if value.strip() else Bad(f"{place}: has no text")
