"""Series: .ts files, arrays, or tables in long form.

Legend: N rows, T steps, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.arrays import opened_arrays
from raytl.data.importers.base import Imported, ShardOptions, flag
from raytl.data.importers.inputs import ragged_input
from raytl.data.importers.roles import plain_column
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.table import split_files
from raytl.data.importers.targets import target_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.modalities.column import BadRowError
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.ts_file import read_ts

ARRAYS = (".npz", ".h5", ".hdf5")
ENDS = {"train": "_TRAIN.ts", "test": "_TEST.ts"}
LONG_FORM = frozenset(
    {
        "series_id", "time", "group", "drop", "split_column", "where", "no_header", "delimiter",
        "encoding",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """A split's series, float32 (T, C) each, a label each, and maybe a group."""

    name: str
    series: Sequence[np.ndarray]
    labels: Sequence[str | None]
    groups: np.ndarray | None = None
    ids: Sequence[str] | None = None  # what to call each in messages; its row's number else


def read_series(source: str | None, options: ShardOptions) -> Imported:
    """Read .ts files (one, one each split, or a folder with NAME_TRAIN.ts and NAME_TEST.ts), arrays
    of a .npz or .h5 file under the keys of `--split`, SERIES,LABELS or SERIES,LABELS,GROUPS with
    series (N, T, C) or (N, T), or a table with a row a step and `--series-id`; with `--horizon` any
    of these as `read_forecasts` has it.

    Raises DataError for what is none of these, with the place where it is known.
    """
    if options.horizon is not None:
        from raytl.data.importers.forecasts import read_forecasts

        _refuse(options, "group", "unlabelled", "task", "classes", "positive")
        return read_forecasts(source, options)
    _refuse(options, "window", "step", "season")
    if options.series_id is not None:
        from raytl.data.importers.series_table import read_long_form

        found, channels = read_long_form(split_files("series", source, options), options)
        return series_dataset(found, channels, options, str(options.target), options.group)
    _refuse_long_form(options)
    if source is not None and Path(source).suffix in ARRAYS:
        found = _of_arrays(Path(source), options)
        channels = tuple(f"c{c}" for c in range(next(iter(found.values())).series[0].shape[1]))
        return series_dataset(found, channels, options)
    found, channels = of_ts_files(ts_files(source, options))
    return series_dataset(found, channels, options)


def _refuse(options: ShardOptions, *names: str) -> None:
    about = "--horizon" if options.horizon is not None else "series that are not forecast"
    for name in sorted(options.model_fields_set.intersection(names)):
        raise ConfigError(f"{flag(name)}: means nothing with {about}; leave it out")


def _refuse_long_form(options: ShardOptions) -> None:
    for name in sorted((LONG_FORM | {"target"}) & options.model_fields_set):
        raise ConfigError(f"{flag(name)}: is about a table in long form; give its --series-id too")


def ts_files(source: str | None, options: ShardOptions) -> dict[str, Path]:
    """Return the file of each split: of a folder those that end in _TRAIN.ts and _TEST.ts. Raises
    DataError where there is no such, or there are two."""
    if options.splits or source is None or not Path(source).is_dir():
        return split_files("series", source, options)
    folder, files = Path(source), dict[str, Path]()
    for split, end in ENDS.items():
        there = sorted(path for path in folder.iterdir() if path.name.endswith(end))
        if len(there) > 1:
            raise DataError(
                f"{printable(folder)}: {len(there)} files end in {end}; name one a split, e.g. "
                f"--split {split}={printable(there[0].name)}"
            )
        if there:
            files[split] = there[0]
    if "train" not in files:
        raise DataError(
            f"{printable(folder)}: no file ends in {ENDS['train']}; name the files, e.g. --split "
            "train=FILE.ts"
        )
    return files


def of_ts_files(files: Mapping[str, Path]) -> tuple[dict[str, Series], tuple[str, ...]]:
    """Return the series of each split and the channels' names. Raises DataError for a file of
    another kind, and where splits have not the same channels."""
    found, channels = {}, {}
    for split, path in files.items():
        if path.suffix != ".ts":
            raise DataError(
                f"{printable(path)}: series are read from .ts, .npz and .h5 files, and with "
                "--series-id from .csv, .parquet and .jsonl"
            )
        data = read_ts(path)
        labels: list[str | None] = [*data.labels] or [None] * len(data.series)
        found[split] = Series(printable(path), data.series, labels)
        channels[split] = data.channels
    first = next(iter(channels))
    for split, names in channels.items():
        if names != channels[first]:
            raise DataError(
                f"all splits must have the same channels, but {found[first].name} has "
                f"{len(channels[first])} and {found[split].name} {len(names)}"
            )
    return found, channels[first]


def _of_arrays(path: Path, options: ShardOptions) -> dict[str, Series]:
    if not options.splits:
        raise ConfigError("shard series: name the keys, e.g. --split train=X,y --split test=Xt,yt")
    found = {}
    with opened_arrays(path) as read:
        for split, given in options.splits.items():
            keys = given.split(",")
            if len(keys) not in (2, 3):
                raise ConfigError(
                    f"--split {split}={given}: expected NAME=SERIES,LABELS or "
                    "NAME=SERIES,LABELS,GROUPS, e.g. train=X,y"
                )
            series_NTC = as_series(read(keys[0]), keys[0])
            words = [_words(read(key), key, len(series_NTC)) for key in keys[1:]]
            groups = np.array(words[1]) if len(words) == 2 else None
            found[split] = Series(
                f"{printable(path)} '{keys[0]}'", list(series_NTC), words[0], groups
            )
    shapes = {split: one.series[0].shape[1] for split, one in found.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{split} {channels}" for split, channels in shapes.items())
        raise DataError(f"{printable(path)}: all splits must have as many channels, got {told}")
    return found


def as_series(series: np.ndarray, key: str) -> np.ndarray:
    """Return an array of series as float32 (N, T, C); DataError where it is none."""
    if series.dtype.kind not in "biuf":
        raise DataError(f"'{key}': series are numbers, got {series.dtype}")
    if series.ndim not in (2, 3) or not series.size:
        raise DataError(
            f"'{key}': series are (N, T) or (N, T, C), none of these zero, got {series.shape}"
        )
    series = series[..., None] if series.ndim == 2 else series
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return series.astype(np.float32)


def _words(labels: np.ndarray, key: str, rows: int) -> list[str | None]:
    if labels.shape not in ((rows,), (rows, 1)) or labels.dtype.kind not in "biufSU":
        raise DataError(
            f"'{key}': labels are a word or a number for each of {rows} series, got {labels.dtype} "
            f"{labels.shape}"
        )
    values = labels.reshape(-1).tolist()
    if labels.dtype.kind == "b":
        return [str(value).lower() for value in values]
    if labels.dtype.kind == "S":
        return [value.decode("utf-8", "replace") for value in values]
    return [str(value) for value in values]


def series_dataset(
    found: Mapping[str, Series],
    channels: tuple[str, ...],
    options: ShardOptions,
    target_name: str = "label",
    group_name: str | None = None,
) -> Imported:
    """Return the dataset of series; raises DataError for one that has a missing or infinite
    value."""
    parts = list(found.values())
    ends = np.cumsum([0, *(len(part.series) for part in parts)])
    every = [series for part in parts for series in part.series]

    def place(row: int) -> str:
        which = int(np.searchsorted(ends, row, side="right")) - 1
        part, number = parts[which], row - int(ends[which])
        return f"{part.name}, series {number if part.ids is None else part.ids[number]}"

    typical = sum(len(series) for series in every) // len(every)
    column = SeriesColumn(channels=channels, typical_steps=max(1, typical))
    for row, series in enumerate(every):
        try:
            column.check([series])
        except BadRowError as error:
            raise DataError(f"{place(row)}: {error.at(row)}") from None
    labels = [label for part in parts for label in part.labels]
    target = target_of(target_name, labels, options, place)
    groups = None
    if all(part.groups is not None for part in parts):
        groups = np.concatenate([part.groups for part in parts if part.groups is not None])
    one, name = ragged_input(column, every), plain_column(target_name)
    rows = {
        split: rows_of(
            {"series": one}, np.arange(start, end), {name: target.values}, groups, options
        )
        for split, start, end in zip(found, ends[:-1], ends[1:], strict=True)
    }
    columns = {"series": column, name: target.column}
    out = arranged(columns, rows, options, plain_column(group_name or "group"))
    out.notes += [*target.notes, *how_to_cut(out, options)]
    return out
