"""What is cut into rows of forecasts: whole series out of tables, .ts files or arrays.

Legend: M steps of one series, C channels, N series.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raytl.data.importers.arrays import array_keys, opened_arrays
from raytl.data.importers.base import ShardOptions, flag
from raytl.data.importers.series import ARRAYS, LONG_FORM, as_series, of_ts_files, ts_files
from raytl.data.importers.series_table import steps_by_series
from raytl.data.importers.table import split_files
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.modalities.column import BadRowError
from raytl.modalities.series.column import SeriesColumn


@dataclass(frozen=True)
class WholeSeries:
    """The series of each split, float32 (M, C) each, finite, and the channels' names."""

    splits: dict[str, list[np.ndarray]]
    channels: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def whole_series(source: str | None, options: ShardOptions) -> WholeSeries:
    """Read tables with a row a step; .ts files, a series a line; or arrays of a .npz or .h5 file
    under the keys of `--split` (the one that there is): (N, M, C), or one series (M, C) or (M,).

    Raises DataError for what is none of these and for a step without a finite value, ConfigError
    for options that are about tables where there is none.
    """
    if source is not None and Path(source).suffix in ARRAYS:
        _refuse_of_tables(options)
        return _of_arrays(Path(source), options)
    folder = source is not None and Path(source).is_dir() and not options.splits
    if folder and any(Path(str(source)).glob("*.ts")):
        files = ts_files(source, options)
    else:
        files = split_files("series", source, options)
    if any(path.suffix == ".ts" for path in files.values()):
        _refuse_of_tables(options)
        return _of_ts(files)
    return WholeSeries(*steps_by_series(files, options))


def _refuse_of_tables(options: ShardOptions) -> None:
    for name in sorted(LONG_FORM & options.model_fields_set):
        raise ConfigError(
            f"{flag(name)}: is about a table with a row a step, and these are .ts files or arrays; "
            "leave it out"
        )


def _of_ts(files: dict[str, Path]) -> WholeSeries:
    found, channels = of_ts_files(files)
    splits = {}
    for split, of in found.items():
        places = [f"{of.name}, series {row}" for row in range(len(of.series))]
        splits[split] = _finite(of.series, places, channels)
    labelled = any(label is not None for of in found.values() for label in of.labels)
    notes = ["the labels of the .ts files are not read: what is forecast is the target"]
    return WholeSeries(splits, channels, notes if labelled else [])


def _of_arrays(path: Path, options: ShardOptions) -> WholeSeries:
    splits, notes, counts = {}, list[str](), dict[str, int]()
    channels: tuple[str, ...] = ()
    keys = options.splits or {"train": _only_key(path)}
    with opened_arrays(path) as read:
        for split, key in keys.items():
            if "," in key:
                raise ConfigError(
                    f"--split {split}={key}: what is forecast has no labels; name one key, e.g. "
                    f"--split {split}={key.partition(',')[0]}"
                )
            series_NMC = _shaped(read(key), key, notes)
            counts[key] = series_NMC.shape[2]
            channels = tuple(f"c{c}" for c in range(counts[key]))
            name = f"{printable(path)} '{key}'"
            places = [f"{name}, series {row}" for row in range(len(series_NMC))]
            splits[split] = _finite(series_NMC, places, channels)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"'{key}' {count}" for key, count in counts.items())
        raise DataError(f"{printable(path)}: all splits must have as many channels, got {told}")
    return WholeSeries(splits, channels, notes)


def _shaped(array: np.ndarray, key: str, notes: list[str]) -> np.ndarray:
    """Return an array as float32 (N, M, C), and note where it is taken for one series."""
    if array.ndim not in (1, 2, 3) or not array.size:
        raise DataError(
            f"'{key}': series to forecast are (N, T, C), or one (T, C) or (T,), none of these "
            f"zero, got {array.shape}"
        )
    if array.ndim < 3:
        array = array[None] if array.ndim == 2 else array[None, :, None]
        notes.append(
            f"'{key}' is read as one series of {array.shape[1]:,} steps and {array.shape[2]:,} "
            "channels; several series are (N, T, C)"
        )
    return as_series(array, key)


def _only_key(path: Path) -> str:
    keys = array_keys(path)
    if len(keys) != 1:
        raise ConfigError(
            f"{printable(path)}: has {len(keys)} arrays; name those of series, e.g. --split "
            f"train=X (it has {', '.join(keys[:8]) or 'none'})"
        )
    return keys[0]


def _finite(
    series: Iterable[np.ndarray], places: list[str], channels: tuple[str, ...]
) -> list[np.ndarray]:
    column, found = SeriesColumn(channels=channels), []
    for row, (one_MC, place) in enumerate(zip(series, places, strict=True)):
        try:
            column.check([one_MC])
        except BadRowError as error:
            raise DataError(f"{place}: {error.at(row)}") from None
        found.append(one_MC)
    return found
