"""Series to predict: a .ts file, or a table with a row a step.

Legend: T steps of a row, C channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.joined import Joined, join
from raytl.data.importers.series_table import rows_by_series
from raytl.data.importers.table_files import read_table_file
from raytl.data.raw.fields import field_rows
from raytl.data.raw.rows import RawReading, RawRows, raw_input, with_bad
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.column import BadRowError
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.ts_file import read_ts
from raytl.modalities.table.column import Field, TableColumn


def series_rows(
    column: SeriesColumn, series: Sequence[Any], places: Sequence[str], window: int | None = None
) -> Input:
    """Return series (T, C) for a column, or what is Bad about them: another number of channels, a
    missing value, with a `window` fewer steps. `places`: what to call each."""
    items = [
        one if isinstance(one, Bad) else _checked(column, one, place, window)
        for one, place in zip(series, places, strict=True)
    ]
    return raw_input(column, items, as_rows)


def _checked(
    column: SeriesColumn, series: np.ndarray, place: str, window: int | None
) -> np.ndarray | Bad:
    try:
        column.check([series])
    except BadRowError as error:
        return Bad(f"{place}: {error.at(0)}")
    if window is None:
        return series
    if len(series) < window:
        return Bad(f"{place}: has {len(series)} steps, but the model reads the last {window}")
    return series[-window:]  # what comes next is forecast


def of_ts(path: Path, column: SeriesColumn, reading: RawReading) -> Input:
    """Return the rows of a .ts file. Raises DataError where it is none, or has other channels."""
    bad: dict[int, str] = {}
    data = read_ts(path, bad)
    _same_count(printable(path), data.channels, column)
    count = len(data.series) + len(bad)
    places = [f"{printable(path)}, series {row}" for row in range(count) if row not in bad]
    return with_bad(series_rows(column, data.series, places, reading.options.window), bad)


def _same_count(name: str, channels: Sequence[str], column: SeriesColumn) -> None:
    if len(channels) != len(column.channels):
        raise DataError(
            f"{name}: has {len(channels)} channels, but the model reads {len(column.channels)}: "
            f"{', '.join(column.channels[:8])}"
        )


def of_steps(path: Path, name: str, column: SeriesColumn, reading: RawReading) -> RawRows:
    """Return the series of a table with a row a step, by their names; one that has a step without a
    number is bad. `name`: of the model's column. Raises DataError where the model's channels are
    not all there."""
    joined = join({"rows": read_table_file(path, reading.options)})
    there = joined.rows.column_names
    missing = [channel for channel in column.channels if channel not in there]
    if missing:
        raise DataError(
            f"{joined.name}: has no column '{missing[0]}', a channel that the model reads; it has "
            + ", ".join(there[:12])
        )
    every = rows_by_series(joined, reading.options)
    named = reading.options.series_id is not None
    places = [f"{joined.name}, series '{one.name}'" if named else joined.name for one in every]
    steps = _steps(joined, column)
    series = [
        _of_steps([steps[row] for row in one.rows], place)
        for one, place in zip(every, places, strict=True)
    ]
    rows = series_rows(column, series, places, reading.options.window)
    names = [one.name if named else str(row) for row, one in enumerate(every)]
    return RawRows("series" if named else "row", names, {name: rows})


def _steps(joined: Joined, column: SeriesColumn) -> list[np.ndarray | Bad]:
    """Return the channels of each row of a table, (C,), or what is wrong with one."""
    fields = TableColumn(fields=tuple(Field(name=n, kind="number") for n in column.channels))
    cells = {name: joined.rows[name].to_pylist() for name in column.channels}
    steps: list[np.ndarray | Bad] = []
    for row, found in enumerate(field_rows(fields, cells, len(joined.rows), joined.place).items):
        if not isinstance(found, Bad) and np.isnan(found).any():
            channel = column.channels[int(np.isnan(found).argmax())]
            found = Bad(f"{joined.place(row)}: column '{channel}' has no value; fill it")
        steps.append(found)
    return steps


def _of_steps(steps: Sequence[np.ndarray | Bad], place: str) -> np.ndarray | Bad:
    bad = next((one for one in steps if isinstance(one, Bad)), None)
    if bad is not None:
        return Bad(f"{place}: {bad.message}")
    with np.errstate(over="ignore"):  # what becomes infinite is bad
        series: np.ndarray = np.stack(steps).astype(np.float32)
    return series
