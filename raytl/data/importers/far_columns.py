"""Columns of Parquet files whose cells stay there: what must be known of them before they are
written.

Legend: N rows.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow.compute as pc

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.cells import Cells, seal_cells, wide
from raytl.data.importers.decoding import SIDE
from raytl.data.importers.inputs import Input, image_reading, text_reading
from raytl.data.importers.parquet_files import Unit, read_unit
from raytl.data.importers.sounds import Look, looks, sounds_seen
from raytl.data.importers.words import is_text
from raytl.data.stored import Each
from raytl.errors import DataError
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn


def image_cells(cells: Cells, options: ShardOptions) -> Input:
    """Return images whose bytes are in cells."""
    size = options.size or SIDE
    column = ImageColumn(shape=(size, size, 3), dtype="uint8")
    return Input(column, cells, image_reading(options, seal_cells))


def sound_cells(cells: Cells, options: ShardOptions, each: Each) -> Input:
    """Return sounds whose bytes are in cells; each is looked at first, as `sound_input` does."""
    parts = each(partial(_looks, column=cells.column), cells.source.units)
    seen = [look for part in parts for look in part]
    return sounds_seen([seen[row] for row in cells.rows_N], cells, options, seal_cells)


def _looks(unit: Unit, column: str) -> list[Look]:
    cells = wide(read_unit(unit, [column])[column]).to_pylist()
    return looks([(unit.place(row), content or b"") for row, content in enumerate(cells)])


def text_cells(cells: Cells, place: Callable[[int], str], each: Each) -> Input:
    """Return texts in cells. Raises DataError where a row has none, or the column is none of
    texts."""
    kind = cells.source.schema.field(cells.column).type
    if not is_text(kind):
        raise DataError(f"--text: column '{cells.column}' has {kind}, which is no text")
    parts = list(each(partial(_sizes, column=cells.column), cells.source.units))
    missing = np.isin(cells.rows_N, np.concatenate([rows for _, rows in parts]))
    if missing.any():
        row = int(np.argmax(missing))
        raise DataError(
            f"{place(row)}: column '{cells.column}' has no text ({missing.sum()} such rows); "
            "drop them, or make the texts empty"
        )
    mean = sum(size for size, _ in parts) // cells.source.rows
    return Input(TextColumn(mean_bytes=max(1, mean)), cells, text_reading(seal_cells))


def _sizes(unit: Unit, column: str) -> tuple[int, np.ndarray]:
    """Return the bytes of all texts, and which rows of all files have none."""
    texts = wide(read_unit(unit, [column])[column])
    nulls = np.flatnonzero(texts.is_null().to_numpy())
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0), unit.in_all + nulls
