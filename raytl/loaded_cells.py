"""The cells of one column that Python holds, as a part of a loaded model reads them.

Legend: B rows of a batch, H height, W width, C channels, T steps.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.arrays import as_numbers
from raytl.data.importers.base import ShardOptions
from raytl.data.importers.decoding import decode
from raytl.data.importers.frames import array_of
from raytl.data.importers.inputs import Bad
from raytl.data.importers.pixels import as_array, is_tensor, need_last, pixels_of
from raytl.data.importers.words import words_of
from raytl.data.raw.sounds import sound_rows
from raytl.errors import DataError, ModelError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import SeriesTransform
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.infer import infer
from raytl.modalities.table.transform import TableTransform
from raytl.rows import Given, join

ROWS = "the rows"
Fitted = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cells:
    """What one part reads of each row: images, texts, sounds' files or series."""

    values: Any  # that can be cut: a list, or an array
    given: Callable[[Any, int], Given]  # of some values and the first one's number

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, start: int, stop: int) -> Given:
        """Return rows by number. Raises DataError, with the number, for one that is none."""
        return self.given(self.values[start:stop], start)


@dataclass(frozen=True)
class Part:
    """A part of a model: its modality, its transform, and how images were fitted that it learnt
    from."""

    kind: str
    transform: Transform
    column: Column
    fitted: Fitted
    window: int | None = None  # steps that a forecast is made from


def cells_of(part: Part, rows: Any) -> Cells:
    """Return what a part reads of rows. Raises DataError where they are none, ModelError where a
    table's fields are not those that it knows."""
    kind, transform = part.kind, part.transform
    if kind == "image":
        return Cells(_images(rows), lambda images, first: _pictures(part, images, first))
    if kind == "table":
        assert isinstance(transform, TableTransform)
        return _numbers(rows, transform)
    listed = _listed(rows)
    if kind == "text":
        return Cells(_texts(listed), lambda texts, _: Given(transform.prepare(_objects(texts))))
    if kind == "audio":
        return Cells(_sound_files(listed), lambda files, _: _sounds(part, files))
    assert isinstance(transform, SeriesTransform)
    series = _series(listed, transform, part.window)
    return Cells(series, lambda of, _: Given(transform.prepare(as_rows(of))))


def _listed(rows: Any) -> Sequence[Any]:
    if isinstance(rows, str | bytes) or not hasattr(rows, "__len__"):
        raise DataError(f"{ROWS}: must be a list or an array, got {type(rows).__name__}")
    if not len(rows):
        raise DataError(f"{ROWS}: there are none")
    return rows if isinstance(rows, list | tuple) else list(as_array(rows))


def _objects(values: Sequence[Any]) -> np.ndarray:
    return np.array([*values, None], dtype=object)[:-1]


# Images


def _images(rows: Any) -> Sequence[Any]:
    if isinstance(rows, list | tuple) or not hasattr(rows, "ndim"):
        return _listed(rows)
    if rows.ndim not in (3, 4):
        raise DataError(
            f"{ROWS}: images are (N, H, W) or (N, H, W, C), of tensors (N, C, H, W), or a list of "
            f"images; got {tuple(rows.shape)}"
        )
    if rows.ndim == 4 and not is_tensor(rows):
        need_last(tuple(rows.shape), ROWS)
    return list(rows)


def _pictures(part: Part, images: Sequence[Any], first: int) -> Given:
    """Return images as the first block takes them; each may have its own size."""
    parts = []
    for row, image in enumerate(images, first):
        x_HWC = as_numbers(_pixels(image, f"row {row}"))
        dtype = "uint8" if x_HWC.dtype == np.uint8 else "float32"
        x_HWC = part.fitted(x_HWC) if dtype == "uint8" else x_HWC
        column = ImageColumn.model_validate({"shape": x_HWC.shape, "dtype": dtype})
        of_column = part.transform.for_column(column)
        prepared = of_column.prepare(np.array(x_HWC)[None])  # which may be read-only
        parts.append(of_column(prepared))
    return Given(join(parts), transformed=True)


def _pixels(image: Any, place: str) -> np.ndarray:
    if isinstance(image, dict) and {"bytes", "path"} <= set(image):
        image = image["path"] if image["bytes"] is None else image["bytes"]
    if isinstance(image, str | os.PathLike | bytes):
        encoded = (place, image) if isinstance(image, bytes) else Path(image)
        found = decode(encoded, None, ShardOptions())
        if isinstance(found, str):
            raise DataError(found if isinstance(image, bytes) else f"{place}: {found}")
        return found
    return pixels_of(image, place)


# Texts, sounds, series


def _texts(rows: Sequence[Any]) -> Sequence[str]:
    odd = next((row for row, text in enumerate(rows) if not isinstance(text, str)), None)
    if odd is not None:
        raise DataError(f"row {odd}: must be a text, got {rows[odd]!r:.40}")
    return rows


def _sound_files(rows: Sequence[Any]) -> list[Any]:
    files: list[Any] = []
    for row, sound in enumerate(rows):
        if isinstance(sound, dict) and {"bytes", "path"} <= set(sound):
            sound = sound["path"] if sound["bytes"] is None else sound["bytes"]
        if isinstance(sound, bytes):
            files.append((f"row {row}", sound))
        elif isinstance(sound, str | os.PathLike):
            if not Path(sound).is_file():
                raise DataError(f"row {row}: no such file: {sound}")
            files.append(Path(sound))
        else:
            raise DataError(
                f"row {row}: a sound is a .wav file's path or bytes, got {type(sound).__name__}"
            )
    return files


def _sounds(part: Part, files: Sequence[Any]) -> Given:
    assert isinstance(part.column, AudioColumn)
    one = sound_rows(part.column, files)
    waves = one.reading.read(one.items)
    bad = next((wave for wave in waves if isinstance(wave, Bad)), None)
    if bad is not None:
        raise DataError(bad.message)
    transform = part.transform.for_column(one.column)
    return Given(transform.prepare(one.reading.joined(list(waves))))


def _series(
    rows: Sequence[Any], transform: SeriesTransform, window: int | None
) -> list[np.ndarray]:
    channels = transform.channels
    found = []
    for row in rows:
        values = np.asarray(as_array(row), np.float32)
        found.append(values[:, None] if values.ndim == 1 else values)
    try:
        SeriesColumn(channels=channels).check(as_rows(found))
    except ValueError as error:
        raise DataError(f"{error} (the model reads channels {', '.join(channels)})") from None
    if window is None:
        return found
    short = next((row for row, of in enumerate(found) if len(of) < window), None)
    if short is not None:
        raise DataError(
            f"row {short} has {len(found[short])} steps, but the model reads the last {window}"
        )
    return [of[-window:] for of in found]  # what comes next is forecast


# Tables


def _numbers(rows: Any, transform: TableTransform) -> Cells:
    values = as_array(rows)
    if values.ndim != 2 or not len(values):
        raise DataError(
            f"{ROWS}: numbers of a table are (N, F), or a DataFrame with names; got {values.shape}"
        )
    columns = {f"c{place}": pa.array(values[:, place]) for place in range(values.shape[1])}
    own = {field.name for field in transform.as_column().fields}
    if not own <= columns.keys():
        raise ModelError(
            f"the model reads fields by name ({', '.join(sorted(own)[:5])}, …); give a DataFrame "
            "with these columns"
        )
    return fields_of(columns, transform)


def fields_of(columns: Mapping[str, Any], transform: TableTransform) -> Cells:
    """Return the fields that the network knows; those that are missing, in all rows or one, are
    what it takes for missing."""
    known = {field.name: field for field in transform.as_column().fields}
    arrays = {
        name: array_of(values, ROWS, name) for name, values in columns.items() if name in known
    }
    there = {n: array for n, array in arrays.items() if array.null_count < len(array)}
    if not there:
        raise ModelError(
            f"the model reads the columns {', '.join(list(known)[:8])}, of which the rows have "
            f"none; they have {', '.join(list(columns)[:8])}"
        )
    table = pa.table({name: _as_known(array, known[name]) for name, array in there.items()})
    column, values = infer(table, {name: known[name].kind for name in there})
    of_column = transform.for_column(TableColumn(fields=column.fields))
    return Cells(values, lambda some, _: Given(of_column.prepare(np.asarray(some))))


def _as_known(array: pa.ChunkedArray | pa.Array, field: Field) -> pa.ChunkedArray | pa.Array:
    """Return a column that is a category as words, as categories were named where it was learnt."""
    if field.kind == "number":
        return array
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return pa.array(words_of(chunked, field.name), pa.string())
