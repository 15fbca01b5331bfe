"""Series in long form: a table with a row a step, and a column that tells whose it is.

Legend: M rows of the table, T steps, C channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.types as kinds

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.joined import Joined, all_there, by_line, join, kept
from raytl.data.importers.roles import need_column
from raytl.data.importers.series import Series
from raytl.data.importers.table_files import read_table_file
from raytl.data.importers.times import in_order
from raytl.data.importers.words import is_text, words_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.infer import infer
from raytl.modalities.table.texts import DATE


def read_long_form(
    files: Mapping[str, Path], options: ShardOptions
) -> tuple[dict[str, Series], tuple[str, ...]]:
    """Return the series of each split and the channels' names: all columns of numbers that play no
    other part. Steps are ordered by `--time`, or stand as they come. A series is of one split: of
    one file, or of one word of `--split-column`.

    Raises ConfigError for a column that is not there, DataError for a series whose target, group or
    split changes, or that has a time twice, and for a channel that has words.
    """
    if options.target is None:
        raise ConfigError("--target: name the column to be learnt")
    tables = {name: read_table_file(path, options) for name, path in files.items()}
    joined = kept(join(tables), options)
    parts = {
        "--series-id": options.series_id, "--time": options.time, "--target": options.target,
        "--group": options.group, "--split-column": options.split_column,
    }  # fmt: skip
    roles = [(option, name) for option, name in parts.items() if name is not None]
    roles += [("--drop", name) for name in options.drop]
    names = [name for _, name in roles]
    for option, name in roles:
        need_column(name, joined.rows.column_names, option, joined.name)
        if names.count(name) > 1:
            raise ConfigError(f"{option}: column '{name}' has two parts; a column has one")
    channels = [name for name in joined.rows.column_names if name not in names]
    values_MC = _numbers(joined, channels, options)
    return _series(joined, values_MC, options), tuple(channels)


def steps_by_series(
    files: Mapping[str, Path], options: ShardOptions
) -> tuple[dict[str, list[np.ndarray]], tuple[str, ...]]:
    """Return the steps of each series of each split, float32 (M, C) in the order of time, and the
    channels' names; without `--series-id` a split is one series. Raises as `read_long_form`, and
    DataError for a step that has no value."""
    tables = {name: read_table_file(path, options) for name, path in files.items()}
    joined = kept(join(tables), options)
    names = [name for name in (options.series_id, options.time, options.split_column) if name]
    for name in [*names, *options.drop]:
        need_column(name, joined.rows.column_names, "--series-id, --time or --drop", joined.name)
    channels = [c for c in joined.rows.column_names if c not in {*names, *options.drop}]
    values_MC = _numbers(joined, channels, options)
    bad = np.argwhere(~np.isfinite(values_MC))
    if len(bad):
        row, channel = bad[0].tolist()
        raise DataError(
            f"{joined.place(row)}: channel '{channels[channel]}' has no finite value (of 32 bits); "
            "fill it, or leave the channel out with --drop"
        )
    found: dict[str, list[np.ndarray]] = {}
    for one in rows_by_series(joined, options):
        found.setdefault(one.split, []).append(values_MC[one.rows])
    return dict(sorted(found.items(), key=lambda one: (one[0] != "train", one[0]))), tuple(channels)


class SeriesRows(NamedTuple):
    """Which rows of a table are a series' steps, in the order of time; without `--series-id` all of
    a split, whose `name` it has."""

    split: str
    name: str
    rows: np.ndarray


def rows_by_series(joined: Joined, options: ShardOptions) -> list[SeriesRows]:
    """Return the series of a table by split and name. Raises DataError for a step that is of none,
    or has the time of another."""
    splits = np.array(list(joined.tables))[joined.table_of]
    if options.split_column is not None:
        splits = all_there(joined, options.split_column, "--split-column")
    ids = splits
    if options.series_id is not None:
        ids = all_there(joined, options.series_id, "--series-id")
    _, of_row = np.unique(np.stack([splits, ids]), axis=1, return_inverse=True)
    of_row = of_row.reshape(-1)
    order = _in_time(joined, ids, of_row, options)
    parts = np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1)
    return [SeriesRows(str(splits[part[0]]), str(ids[part[0]]), part) for part in parts]


def _numbers(joined: Joined, channels: Sequence[str], options: ShardOptions) -> np.ndarray:
    if not channels:
        raise ConfigError(f"{joined.name}: no column is left to be a channel")
    if options.time is None:
        _refuse_times(joined, channels)
    try:
        column, values_MC = infer(joined.rows.select(channels))
    except DataError as error:
        raise DataError(by_line(joined, str(error))) from None
    words = next((field.name for field in column.fields if field.kind == "category"), None)
    if words is not None:
        raise DataError(
            f"{joined.name}: column '{words}' has words, and a channel has numbers; leave it out "
            f"with --drop '{words}'"
        )
    with np.errstate(over="ignore"):  # what float32 has not is told as no finite value
        return values_MC.astype(np.float32)


def _refuse_times(joined: Joined, channels: Sequence[str]) -> None:
    for name in channels:
        column = joined.rows[name]
        if is_text(column.type):
            words = [word.strip() for word in column.to_pylist() if word and word.strip()]
            dates = bool(words) and all(DATE.fullmatch(word) for word in words)
        else:
            dates = kinds.is_temporal(column.type)
        if dates:
            raise ConfigError(
                f"{joined.name}: column '{name}' has dates or times, and a channel has numbers; "
                f"order the steps by it with --time '{name}', or leave it out with --drop '{name}'"
            )


def _series(joined: Joined, values_MC: np.ndarray, options: ShardOptions) -> dict[str, Series]:
    assert options.series_id is not None and options.target is not None
    ids = all_there(joined, options.series_id, "--series-id")
    splits = np.array(list(joined.tables))[joined.table_of]
    if options.split_column is not None:
        splits = all_there(joined, options.split_column, "--split-column")
    names, of_row = np.unique(ids, return_inverse=True)
    if options.split_column is None:  # names may begin anew in each split's file
        of_row = joined.table_of * len(names) + of_row
    _, first, of_row = np.unique(of_row, return_index=True, return_inverse=True)
    order = _in_time(joined, ids, of_row, options)
    starts = np.searchsorted(of_row[order], np.arange(len(first) + 1))
    targets = words_of(joined.rows[options.target], options.target)
    _same("target", options.target, targets, joined, of_row, first, ids)
    _same("split", "split", splits.tolist(), joined, of_row, first, ids)
    groups = None
    if options.group is not None:
        groups = all_there(joined, options.group, "--group")
        _same("group", options.group, groups.tolist(), joined, of_row, first, ids)
    found = {}
    for split in sorted(set(splits.tolist()), key=lambda name: (name != "train", name)):
        which = np.flatnonzero(splits[first] == split)
        found[str(split)] = Series(
            joined.name,
            [values_MC[order[starts[i] : starts[i + 1]]] for i in which],
            [targets[first[i]] for i in which],
            None if groups is None else groups[first[which]],
            [f"'{ids[first[i]]}'" for i in which],
        )
    return found


def _in_time(
    joined: Joined, ids: np.ndarray, of_row: np.ndarray, options: ShardOptions
) -> np.ndarray:
    """Return the order of the rows: by series, then by time."""
    if options.time is None:
        return np.argsort(of_row, kind="stable")
    words = all_there(joined, options.time, "--time")
    times = in_order(words.tolist(), joined.place)
    order = np.lexsort((times, of_row))
    same = (times[order][1:] == times[order][:-1]) & (of_row[order][1:] == of_row[order][:-1])
    if same.any():
        row = int(order[int(same.argmax()) + 1])
        told = "" if options.series_id else ", or name the column that tells series: --series-id"
        raise DataError(
            f"{joined.place(row)}: series '{ids[row]}' has the time {words[row]} twice; give each "
            f"step a time of its own{told}"
        )
    return order


def _same(
    what: str,
    name: str,
    words: Sequence[str | None],
    joined: Joined,
    of_row: np.ndarray,
    first: np.ndarray,
    ids: np.ndarray,
) -> None:
    """Raise DataError where a series has two of what it has one of."""
    of_series = [words[row] for row in first]
    for row, word in enumerate(words):
        if word != of_series[of_row[row]]:
            raise DataError(
                f"{joined.place(row)}: series '{ids[row]}' has one {what} in column '{name}', but "
                f"'{of_series[of_row[row]]}' and '{word}' stand there"
            )
