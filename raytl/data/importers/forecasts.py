"""Series with their next steps as the target, by windows in time or a row a series.

Legend: M steps of one series, C channels, N rows, H steps to come.
"""

from collections.abc import Mapping

import numpy as np

from raytl.data.importers.arranging import arranged, cuts, learnt_from
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.forecast_sources import whole_series
from raytl.data.importers.inputs import array_input, ragged_input
from raytl.data.importers.split_rows import rows_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.series.column import SeriesColumn
from raytl.tasks.steps_column import StepsColumn

TARGET = "steps"
Found = list[tuple[np.ndarray, np.ndarray]]  # series (T, C) and its steps to come (H,)


def read_forecasts(source: str | None, options: ShardOptions) -> Imported:
    """Read series as `whole_series` does, whose channel `--target` (the one that there is) is
    forecast `--horizon` steps: with `--window` each series, or the table where there is no
    `--series-id`, is cut into windows of so many steps, each `--step` after the last; without, a
    series is a row, its last steps are to come.

    `--test` and `--validation` cut windows by time: the last share of each series' steps is theirs,
    and a window that reaches over a cut is left out. Series that are rows are drawn. Raises
    ConfigError for options that do not fit, DataError for series that are all too short.
    """
    horizon, window = options.horizon, options.window
    assert horizon is not None
    season = _season(options)
    found = whole_series(source, options)
    if window is None and all(len(series) == 1 for series in found.splits.values()):
        raise ConfigError(
            "--horizon: give --window, steps of each row of one long series, or --series-id, the "
            "column of a table that tells series apart"
        )
    channel = _forecast(found.channels, options)
    shares = cuts(found.splits, options)
    parts: dict[str, list[np.ndarray]] = {}
    for split, series in found.splits.items():
        cut = split == learnt_from(found.splits) and window is not None
        parts |= _in_time(split, series, shares) if cut else {split: series}
    rows = {
        name: [_rows(one, channel, season, options) for one in of] for name, of in parts.items()
    }
    needed = (window or season) + horizon
    notes = [*found.notes, *_too_short(rows, needed)]
    joined = {name: [row for of_one in of for row in of_one] for name, of in rows.items()}
    out = _made(joined, found.channels, channel, season, options)
    out.notes[:0] = notes
    return out


def _season(options: ShardOptions) -> int:
    """Return `--season`. Raises ConfigError where it or `--step` do not fit `--window`."""
    if options.window is None and options.step is not None:
        raise ConfigError(
            "--step: is the way from one window to the next of windows, which --window asks for; "
            "give --window, or leave --step out"
        )
    assert options.horizon is not None
    season = options.season or options.horizon
    if options.window is not None and season > options.window:
        raise ConfigError(
            f"--season <= --window must hold, so that a row has a season to say again, but got "
            f"{season} and {options.window}; lower it, or give longer windows"
        )
    return season


def _forecast(channels: tuple[str, ...], options: ShardOptions) -> int:
    """Return the place of the channel `--target`."""
    known = ", ".join(channels[:12]) + (", …" if len(channels) > 12 else "")
    if options.target is None:
        if len(channels) > 1:
            raise ConfigError(f"--target: name the channel that is forecast; known: {known}")
        return 0
    if options.target not in channels:
        raise ConfigError(f"--target: no channel '{options.target}'; known: {known}")
    return channels.index(options.target)


def _too_short(rows: Mapping[str, list[Found]], needed: int) -> list[str]:
    """Return a note for each split some of whose series give no row. Raises DataError where none
    gives one."""
    notes = []
    for split, of_series in rows.items():
        short = sum(not found for found in of_series)
        if short == len(of_series):
            raise DataError(
                f"split {split}: no series has the {needed} steps that a row needs; lower --window "
                "or --horizon, or give more"
            )
        if short:
            notes.append(
                f"split {split}: {short:,} of {len(of_series):,} series have not the {needed} "
                "steps that a row needs, and are left out"
            )
    return notes


def _in_time(
    split: str, series: list[np.ndarray], shares: Mapping[str, float]
) -> dict[str, list[np.ndarray]]:
    """Return the splits that a split is cut into, in the order of time."""
    later = [(name, shares[name]) for name in ("validation", "test") if name in shares]
    start, bounds = 0.0, [(split, 1.0 - sum(share for _, share in later)), *later]
    parts = {}
    for name, share in bounds:
        end = start + share
        parts[name] = [of[round(start * len(of)) : round(end * len(of))] for of in series]
        start = end
    return parts


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
    rows: Mapping[str, Found],
    channels: tuple[str, ...],
    channel: int,
    season: int,
    options: ShardOptions,
) -> Imported:
    assert options.horizon is not None
    every = [row for found in rows.values() for row in found]
    typical = sum(len(series) for series, _ in every) // len(every)
    inputs = {
        "series": ragged_input(
            SeriesColumn(channels=channels, typical_steps=max(1, typical)), [of for of, _ in every]
        ),
        TARGET: array_input(
            StepsColumn(horizon=options.horizon, channel=channels[channel], season=season),
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
