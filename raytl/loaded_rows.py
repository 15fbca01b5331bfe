"""Rows that Python holds, as the parts of a loaded model read them.

Legend: H height, W width, C channels.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.frames import columns_of, is_frame
from raytl.data.importers.image_folder import EXTENSIONS as IMAGE_FILES
from raytl.data.importers.roles import plain_column
from raytl.data.importers.sounds import EXTENSIONS as SOUND_FILES
from raytl.data.raw.pictures import as_stored
from raytl.data.raw.rows import RawReading
from raytl.errors import DataError, ModelError, UserError
from raytl.loaded_cells import ROWS, Cells, Part, cells_of, fields_of
from raytl.modalities.base import Transform
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.table.transform import TableTransform
from raytl.rows import Given

Parts = Mapping[str, Part]
FILES = {"image": IMAGE_FILES, "audio": SOUND_FILES}


@dataclass(frozen=True)
class Held:
    """Rows by part, and how to call them: the index of a DataFrame, or files."""

    parts: dict[str, Cells]
    index: Any = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.parts.values())))

    def batch(self, start: int, stop: int) -> dict[str, Given]:
        """Return rows by number, as a model takes them."""
        return {name: cells.batch(start, stop) for name, cells in self.parts.items()}


def parts_of(kinds: Mapping[str, str], reading: RawReading, of: Mapping[str, Transform]) -> Parts:
    """Return a model's parts by name: `kinds` and transforms `of` each."""
    parts = {}
    for name, kind in kinds.items():
        column = reading.columns[name]
        fitted = _as_it_is
        if isinstance(column, ImageColumn):
            fitted = partial(as_stored, column=column, reading=reading)
        parts[name] = Part(kind, of[name], column, fitted, reading.options.window)
    return parts


def _as_it_is(pixels_HWC: np.ndarray) -> np.ndarray:
    return pixels_HWC


def held_rows(rows: Any, parts: Parts) -> Held:
    """Return rows for `parts`: a DataFrame by its columns, or of a model with one part a list, an
    array, a file or a folder of files.

    Raises DataError for rows that cannot be read, ModelError where a part has no column.
    """
    if is_frame(rows):
        return _of_frame(rows, parts)
    if type(rows).__module__.partition(".")[0] == "datasets" and hasattr(rows, "with_format"):
        return _of_frame(rows.with_format("arrow")[:], parts)
    if len(parts) > 1:
        columns = ", ".join(f"'{name}' ({part.kind})" for name, part in parts.items())
        raise DataError(
            f"the model reads {columns}, so rows are a DataFrame with these, got "
            f"{type(rows).__name__}"
        )
    (name, part), *_ = parts.items()
    index = None
    if isinstance(rows, str | os.PathLike):
        rows = index = _files_at(Path(rows), part.kind)
    return Held({name: cells_of(part, rows)}, index and [str(file) for file in index])


def _files_at(place: Path, kind: str) -> list[Path]:
    """Return a file, or all of a folder that the part could read, sorted."""
    if kind not in FILES:
        raise DataError(
            f"{place}: the model reads {kind} rows; give a DataFrame or an array of them, or the "
            "folder of a dataset"
        )
    if place.is_dir():
        found = sorted(f for f in place.rglob("*") if f.suffix.lower() in FILES[kind])
        if not found:
            raise DataError(f"{place}: holds no {kind} file ({', '.join(sorted(FILES[kind]))})")
        return found
    if not place.is_file():
        raise DataError(f"{place}: no such file or folder")
    return [place]


def _of_frame(frame: Any, parts: Parts) -> Held:
    names, columns = columns_of(frame, ROWS)
    if not len(frame):
        raise DataError(f"{ROWS}: there are none")
    by_name = dict(zip(names, columns, strict=True))
    found = {}
    for name, part in parts.items():
        if isinstance(part.transform, TableTransform):
            found[name] = fields_of(by_name, part.transform)
            continue
        column = _column_of(name, by_name, alone=len(parts) == 1)
        values = by_name[column]
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values.tolist()
        found[name] = cells_of(part, listed)
    return Held(found, getattr(frame, "index", None))


def _column_of(name: str, columns: Mapping[str, Any], *, alone: bool) -> str:
    fit = [column for column in columns if name in (column, plain_column(column))]
    if not fit and alone and len(columns) == 1:
        fit = list(columns)
    if len(fit) != 1:
        raise ModelError(
            f"the model reads the column '{name}', but the rows have {', '.join(columns)}; rename "
            "the one that is meant"
        )
    return fit[0]


def need_list(rows: Any) -> None:
    """Raise UserError for one row where rows are meant."""
    if hasattr(rows, "convert") or isinstance(rows, dict | bytes):
        raise UserError(f"predict takes several rows; put the {type(rows).__name__} into a list")
