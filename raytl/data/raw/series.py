"""Series to predict: a .ts file, or a table with a row a step.

Legend: T steps of a row, C channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.csv_files import with_own_delimiter
from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.joined import Joined, join
from raytl.data.importers.series_table import SeriesRows, rows_by_series
from raytl.data.importers.table_files import read_table_file
from raytl.data.raw.fields import field_rows
from raytl.data.raw.rows import RawReading, RawRows, raw_input
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
        one if isinstance(one, Bad) else _checked(column, one, row, place, window)
        for row, (one, place) in enumerate(zip(series, places, strict=True))
    ]
    return raw_input(column, items, as_rows)


def _checked(
    column: SeriesColumn, series: np.ndarray, row: int, place: str, window: int | None
) -> np.ndarray | Bad:
    try:
        column.check([series])
    except BadRowError as error:
        return Bad(f"{place}: {error.at(row)}")
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
    rows = range(len(data.series) + len(bad))
    read = iter(data.series)
    series = [Bad(bad[row]) if row in bad else next(read) for row in rows]
    places = [f"{printable(path)}, series {row}" for row in rows]
    return series_rows(column, series, places, reading.options.window)


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
    joined = join({"rows": read_table_file(path, with_own_delimiter(path, reading.options))})
    there = joined.rows.column_names
    missing = [channel for channel in column.channels if channel not in there]
    if missing:
        raise DataError(
            f"{joined.name}: has no column '{missing[0]}', a channel that the model reads; it has "
            + ", ".join(there[:12])
        )
    every = rows_by_series(joined, reading.options)
    named = reading.options.series_id is not None
    steps = _steps(joined, column, _series_of_rows(every) if named else {})
    series = [_joined([steps[row] for row in one.rows]) for one in every]
    places = [f"{joined.name}, series '{one.name}'" if named else joined.name for one in every]
    rows = series_rows(column, series, places, reading.options.window)
    names = [one.name if named else str(row) for row, one in enumerate(every)]
    return RawRows("series" if named else "row", names, {name: rows})


def _series_of_rows(every: Sequence[SeriesRows]) -> dict[int, str]:
    return {row: f", series '{one.name}'" for one in every for row in one.rows.tolist()}


def _steps(
    joined: Joined, column: SeriesColumn, series: Mapping[int, str]
) -> list[np.ndarray | Bad]:
    """Return the channels of each row of a table, (C,), or what is wrong with one. `series`: what
    is said of it behind its place."""

    def place(row: int) -> str:
        return f"{joined.place(row)}{series.get(row, '')}"

    fields = TableColumn(fields=tuple(Field(name=n, kind="number") for n in column.channels))
    cells = {name: joined.rows[name].to_pylist() for name in column.channels}
    steps: list[np.ndarray | Bad] = []
    for row, found in enumerate(field_rows(fields, cells, len(joined.rows), place).items):
        if not isinstance(found, Bad) and np.isnan(found).any():
            channel = column.channels[int(np.isnan(found).argmax())]
            found = Bad(f"{place(row)}: column '{channel}' has no value; fill it")
        steps.append(found)
    return steps


def _joined(steps: Sequence[np.ndarray | Bad]) -> np.ndarray | Bad:
    bad = next((step for step in steps if isinstance(step, Bad)), None)
    if bad is not None:
        return bad
    with np.errstate(over="ignore"):  # what becomes infinite is bad
        series: np.ndarray = np.array(steps, dtype=np.float64).astype(np.float32)
    return series
