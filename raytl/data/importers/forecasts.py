"""Series with their next steps as the target: out of a table with a row a step, by windows in time
or a row a series.

Legend: M steps of one series, C channels, N rows, H steps to come.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from raytl.data.importers.arranging import arranged, cuts
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.inputs import array_input, ragged_input
from raytl.data.importers.series_table import steps_by_series
from raytl.data.importers.split_rows import rows_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.series.column import SeriesColumn
from raytl.tasks.steps_column import StepsColumn

TARGET = "steps"
Found = list[tuple[np.ndarray, np.ndarray]]  # series (T, C) and its steps to come (H,)


def read_forecasts(files: Mapping[str, Path], options: ShardOptions) -> Imported:
    """Read tables whose channel `--target` is forecast `--horizon` steps: with `--window` each
    series, or the table where there is no `--series-id`, is cut into windows of so many steps, each
    `--step` after the last; without, a series is a row, its last steps are to come.

    `--test` and `--validation` cut windows by time: the last share of each series' steps is theirs,
    and a window that reaches over a cut is left out. Series that are rows are drawn. Raises
    ConfigError for options that do not fit, DataError for series that are too short.
    """
    horizon, window = options.horizon, options.window
    assert horizon is not None
    if options.target is None:
        raise ConfigError("--target: name the channel that is forecast")
    if window is None and options.series_id is None:
        raise ConfigError(
            "--horizon: give --window, steps of each row of one long series, or --series-id, the "
            "column that tells series apart"
        )
    if window is None and options.step is not None:
        raise ConfigError(
            "--step: is the way from one window to the next of windows, which --window asks for; "
            "give --window, or leave --step out"
        )
    season = options.season or horizon
    if window is not None and season > window:
        raise ConfigError(
            f"--season <= --window must hold, so that a row has a season to say again, but got "
            f"{season} and {window}; lower it, or give longer windows"
        )
    splits, channels = steps_by_series(files, options)
    if options.target not in channels:
        raise ConfigError(f"--target: no channel '{options.target}'; known: {', '.join(channels)}")
    place = channels.index(options.target)
    shares = cuts(splits, options)
    rows: dict[str, Found] = {}
    for split, series in splits.items():
        for name, of_time in (
            _in_time(split, series, shares) if window is not None else [(split, series)]
        ):
            rows[name] = [row for one in of_time for row in _rows(one, place, season, options)]
    empty = next((name for name, found in rows.items() if not found), None)
    if empty is not None:
        raise DataError(
            f"split {empty}: no series has the {(window or season) + horizon} steps that a row "
            "needs; lower --window or --horizon, or give more"
        )
    return _made(rows, channels, season, options)


def _in_time(
    split: str, series: list[np.ndarray], shares: Mapping[str, float]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the splits that a split is cut into, in the order of time."""
    if split != "train":
        yield split, series
        return
    later = [(name, shares[name]) for name in ("validation", "test") if name in shares]
    start, bounds = 0.0, [("train", 1.0 - sum(share for _, share in later)), *later]
    for name, share in bounds:
        yield name, [of[round(start * len(of)) : round((start + share) * len(of))] for of in series]
        start += share


def _rows(one: np.ndarray, channel: int, season: int, options: ShardOptions) -> Found:
    horizon = options.horizon
    assert horizon is not None
    if options.window is None:
        if len(one) < season + horizon:
            return []
        return [(one[:-horizon], one[-horizon:, channel].astype(np.float64))]
    whole, step = options.window + horizon, options.step or horizon
    return [
        (
            one[at : at + options.window],
            one[at + options.window : at + whole, channel].astype(float),
        )
        for at in range(0, len(one) - whole + 1, step)
    ]


def _made(
    rows: Mapping[str, Found], channels: tuple[str, ...], season: int, options: ShardOptions
) -> Imported:
    assert options.horizon is not None and options.target is not None
    every = [row for found in rows.values() for row in found]
    typical = sum(len(series) for series, _ in every) // len(every)
    inputs = {
        "series": ragged_input(
            SeriesColumn(channels=channels, typical_steps=max(1, typical)), [of for of, _ in every]
        ),
        TARGET: array_input(
            StepsColumn(horizon=options.horizon, channel=options.target, season=season),
            np.stack([steps for _, steps in every]),
        ),
    }  # fmt: skip
    ends = np.cumsum([0, *(len(found) for found in rows.values())])
    splits = {
        name: rows_of(inputs, np.arange(start, end), {}, None, options)
        for name, start, end in zip(rows, ends[:-1], ends[1:], strict=True)
    }
    columns = {name: one.column for name, one in inputs.items()}
    if options.window is not None:  # cut in time already
        options = options.model_copy(update={"test": None, "validation": None})
    out = arranged(columns, splits, options)
    if options.window is not None and "validation" not in splits:
        out.notes.append(
            "windows may overlap in time: with --validation 0.1, and `splits: {validation: "
            "validation}` in the study, none is held out beside one that is learnt from"
        )
    return out
