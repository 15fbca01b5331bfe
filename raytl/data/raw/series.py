"""Series to predict: a .ts file, or a table with a row a step.

Legend: T steps of a row, C channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.options import ShardOptions
from raytl.data.importers.series_table import steps_by_series
from raytl.data.raw.rows import RawReading, raw_input, with_bad
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.column import BadRowError
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.ts_file import read_ts


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


def of_steps(path: Path, column: SeriesColumn, reading: RawReading) -> Input:
    """Return the series of a table with a row a step, in the order of their names. Raises DataError
    where the model's channels are not all there."""
    own = reading.options
    options = ShardOptions(
        series_id=own.series_id, time=own.time, no_header=own.no_header, delimiter=own.delimiter,
        encoding=own.encoding, drop=_others(path, column, own),
    )  # fmt: skip
    found, channels = steps_by_series({"rows": path}, options)
    order = [channels.index(name) for name in column.channels]
    series = [one[:, order] for one in found["rows"]]
    places = [f"{printable(path)}, series {row}" for row in range(len(series))]
    return series_rows(column, series, places, own.window)


def _others(path: Path, column: SeriesColumn, options: ShardOptions) -> tuple[str, ...]:
    from raytl.data.importers.table_files import read_table_file

    names = read_table_file(path, options).rows.column_names
    missing = [name for name in column.channels if name not in names]
    if missing:
        raise DataError(
            f"{printable(path)}: has no column '{missing[0]}', a channel that the model reads; it "
            f"has {', '.join(names[:12])}"
        )
    kept = {*column.channels, options.series_id, options.time}
    return tuple(name for name in names if name not in kept)
