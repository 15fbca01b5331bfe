"""`raytl shard series --horizon`: windows in time, rows a series, and what is refused."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.errors import ConfigError, DataError
from raytl.tasks.steps_column import StepsColumn


def table(folder: Path, steps: int = 40, ids: int = 1, gap: bool = False) -> Path:
    lines = ["who,day,load,heat"]
    for i in range(ids):
        for t in reversed(range(steps)):  # as it comes, time is backwards
            lines.append(f"s{i},{t},{'' if gap and t == 3 else 1000 * i + t},{t % 7}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def made(folder: Path, source: Path, **options: Any) -> tuple[Dataset, ShardReport]:
    given = {"target": "load", "time": "day", "drop": ["who"], "horizon": 3} | options
    given = {name: value for name, value in given.items() if value is not None}
    report = shard("series", str(source), folder / "out", options=shard_options(**given))
    return Dataset.open(folder / "out"), report


def rows_of(dataset: Dataset, split: str) -> list[tuple[list[float], list[float]]]:
    part = dataset.split(split)
    rows = np.arange(part.rows)
    series, steps = part.read("series", rows), part.read("steps", rows)
    pairs = [(of[:, 0].tolist(), to.tolist()) for of, to in zip(series, steps, strict=True)]
    return sorted(pairs)


def test_windows_of_a_long_series_go_on_and_are_cut_in_time(tmp_path: Path) -> None:
    dataset, report = made(
        tmp_path, table(tmp_path), window=5, step=2, test=0.25, validation=0.25, season=4
    )
    assert dataset.columns["steps"] == StepsColumn(horizon=3, channel="load", season=4)
    seen = {}
    for split in ("train", "validation", "test"):
        found = rows_of(dataset, split)
        for window, to_come in found:
            assert [*window, *to_come] == list(np.arange(window[0], window[0] + 8))
        seen[split] = {t for window, to_come in found for t in (*window, *to_come)}
    assert max(seen["train"]) < 20 <= min(seen["validation"])
    assert max(seen["validation"]) < 30 <= min(seen["test"])
    assert [len(rows_of(dataset, split)) for split in seen] == [7, 2, 2] and not report.notes


def test_windows_without_a_cut_validation_are_told_of(tmp_path: Path) -> None:
    _, report = made(tmp_path, table(tmp_path), window=5, test=0.25)
    assert any("windows may overlap in time: with --validation" in note for note in report.notes)


def test_each_series_is_a_row_without_a_window(tmp_path: Path) -> None:
    source = table(tmp_path, steps=8, ids=10)
    dataset, _ = made(tmp_path, source, series_id="who", drop=None, test=0.2)
    found = rows_of(dataset, "train") + rows_of(dataset, "test")
    assert len(rows_of(dataset, "test")) == 2
    assert sorted(found) == [
        ([1000.0 * i + t for t in range(5)], [1000.0 * i + t for t in (5, 6, 7)]) for i in range(10)
    ]


def test_windows_of_several_series_stay_in_theirs(tmp_path: Path) -> None:
    source = table(tmp_path, steps=12, ids=2)
    dataset, _ = made(tmp_path, source, series_id="who", drop=None, window=4, step=1)
    for window, to_come in rows_of(dataset, "train"):
        assert {int(t) // 1000 for t in (*window, *to_come)} in ({0}, {1})
    assert len(rows_of(dataset, "train")) == 2 * 6


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"target": None, "window": 5}, ConfigError, "--target: name the channel"),
        ({"target": "gone", "window": 5}, ConfigError, "--target: no channel 'gone'; known: load"),
        ({}, ConfigError, "--horizon: give --window, .* or --series-id"),
        ({"window": 5, "season": 6}, ConfigError, "--season <= --window must hold, .* 6 and 5"),
        ({"window": 50}, DataError, "split train: no series has the 53 steps that a row needs"),
        ({"window": 5, "test": 0.05}, DataError, "split test: no series has the 8 steps"),
        ({"window": 5, "group": "who"}, ConfigError, "--group: means nothing with --horizon"),
        ({"window": 5, "horizon": None}, ConfigError, "--window: means nothing with series that"),
        ({"window": 5, "drop": ["nobody"]}, ConfigError, "no column 'nobody'"),
        ({"window": 0}, ConfigError, "window"),
        ({"series_id": "who", "drop": None, "step": 2}, ConfigError,
         "--step: .* windows, which --window asks for"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, options: dict[str, Any], error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        made(tmp_path, table(tmp_path), **options)


@pytest.mark.parametrize("window", [5, None])
@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("train", "test"), "--test: .* there is a split test already"),
        (("early", "late"), "--test: .* there is no such split"),
    ],
)
def test_windows_are_cut_for_a_split_as_rows_are(
    tmp_path: Path, names: tuple[str, str], text: str, window: int | None
) -> None:
    source = table(tmp_path, ids=4).rename(tmp_path / "first.csv")
    table(tmp_path, ids=4)
    splits = {names[0]: str(source), names[1]: str(tmp_path / "t.csv")}
    options = shard_options(
        target="load", time="day", series_id="who", horizon=3, window=window, splits=splits,
        test=0.25,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=text):
        shard("series", None, tmp_path / "out", options=options)


def test_a_step_without_a_value_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 38: channel 'load' has no finite value"):
        made(tmp_path, table(tmp_path, gap=True), window=5)


def ts(folder: Path, lengths: tuple[int, ...], name: str = "x.ts", first: int = 0) -> Path:
    """Series i goes 1000·i, 1000·i + 1, … in its channel dim_1."""
    rows = [
        ":".join([",".join(str(t % 7) for t in range(length)),
                  ",".join(str(1000 * i + t) for t in range(length)), "ab"[i % 2]])
        for i, length in enumerate(lengths, first)
    ]  # fmt: skip
    (folder / name).write_text("@classLabel true a b\n@data\n" + "\n".join(rows) + "\n")
    return folder / name


def of_files(folder: Path, source: Path, **options: Any) -> tuple[Dataset, ShardReport]:
    return made(folder, source, **({"time": None, "drop": None} | options))


def going_on(dataset: Dataset, split: str, channel: int) -> list[tuple[int, int]]:
    """Return the first step and the count of each row's series, once its steps to come go on with
    the channel."""
    part = dataset.split(split)
    rows = np.arange(part.rows)
    found = []
    for series, steps in zip(part.read("series", rows), part.read("steps", rows), strict=True):
        of = [*series[:, channel], *steps]
        assert of == list(np.arange(of[0], of[0] + len(of)))
        found.append((int(of[0]), len(series)))
    return sorted(found)


def test_series_of_a_ts_file_are_rows(tmp_path: Path) -> None:
    dataset, report = of_files(tmp_path, ts(tmp_path, (8, 9, 10)), target="dim_1")
    assert dataset.columns["steps"] == StepsColumn(horizon=3, channel="dim_1", season=3)
    assert going_on(dataset, "train", 1) == [(0, 5), (1000, 6), (2000, 7)]
    assert report.notes == [
        "the labels of the .ts files are not read: what is forecast is the target"
    ]


def test_series_of_a_ts_file_are_cut_into_windows_in_time(tmp_path: Path) -> None:
    source = ts(tmp_path, (20, 40))
    dataset, report = of_files(
        tmp_path, source, target="dim_1", window=5, step=4, test=0.25, validation=0.25
    )
    assert going_on(dataset, "train", 1) == [(0, 5), (1000, 5), (1004, 5), (1008, 5), (1012, 5)]
    assert going_on(dataset, "validation", 1) == [(1020, 5)]
    assert going_on(dataset, "test", 1) == [(1030, 5)]
    too_short = "1 of 2 series have not the 8 steps that a row needs, and are left out"
    assert [f"split {name}: {too_short}" for name in ("validation", "test")] == report.notes[1:]


def test_a_folder_of_ts_files_has_splits(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ts(tmp_path / "in", (8, 8), "X_TRAIN.ts")
    ts(tmp_path / "in", (9, 9, 9), "X_TEST.ts", first=2)
    dataset, _ = of_files(tmp_path, tmp_path / "in", target="dim_1")
    assert [first for first, _ in going_on(dataset, "train", 1)] == [0, 1000]
    assert [first for first, _ in going_on(dataset, "test", 1)] == [2000, 3000, 4000]


def arrays(folder: Path, name: str = "a.npz", **keys: Any) -> Path:
    if name.endswith(".npz"):
        np.savez(folder / name, **keys)
        return folder / name
    with h5py.File(folder / name, "w") as file:
        for key, value in keys.items():
            file[key] = value
    return folder / name


def counted(series: int, steps: int) -> np.ndarray:
    """Return (N, T, 2): series i goes 1000·i, 1000·i + 1, … in its second channel."""
    at = 1000 * np.arange(series)[:, None] + np.arange(steps)
    return np.stack([at % 7, at], axis=2)


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_each_series_of_an_array_is_a_row_or_cut_into_windows(tmp_path: Path, name: str) -> None:
    source = arrays(tmp_path, name, X=counted(3, 12), Xt=counted(2, 8))
    splits = {"train": "X", "test": "Xt"}
    dataset, report = of_files(tmp_path, source, target="c1", splits=splits)
    assert going_on(dataset, "train", 1) == [(0, 9), (1000, 9), (2000, 9)] and not report.notes
    assert going_on(dataset, "test", 1) == [(0, 5), (1000, 5)]
    (tmp_path / "again").mkdir()
    dataset, _ = of_files(tmp_path / "again", source, target="c1", splits=splits, window=5, step=4)
    assert going_on(dataset, "train", 1) == [(1000 * i + t, 5) for i in range(3) for t in (0, 4)]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_an_array_without_series_is_one_and_its_only_channel_the_target(
    tmp_path: Path, dimensions: int
) -> None:
    one = np.arange(40.0)
    source = arrays(tmp_path, load=one if dimensions == 1 else one[:, None])
    dataset, report = of_files(tmp_path, source, target=None, window=5, validation=0.2, test=0.2)
    assert dataset.columns["steps"] == StepsColumn(horizon=3, channel="c0", season=3)
    assert [len(going_on(dataset, s, 0)) for s in ("train", "validation", "test")] == [6, 1, 1]
    assert report.notes == [
        "'load' is read as one series of 40 steps and 1 channels; several series are (N, T, C)"
    ]


def test_windows_of_arrays_are_those_of_a_table(tmp_path: Path) -> None:
    """The same series as a table with a row a step and as an array (T, C)."""
    options = {"window": 5, "step": 2, "test": 0.25, "validation": 0.25}
    of_table, _ = made(tmp_path, table(tmp_path), **options)
    at = np.arange(40)
    source = arrays(tmp_path, X=np.stack([at, at % 7], axis=1))
    (tmp_path / "again").mkdir()
    of_array, _ = of_files(tmp_path / "again", source, target="c0", **options)
    for split in ("train", "validation", "test"):
        assert rows_of(of_array, split) == rows_of(of_table, split)


BAD_ARRAYS = {
    "gap": np.where(np.arange(40.0) == 7, np.nan, np.arange(40.0)),
    "words": np.array(["a", "b"]), "four": np.ones((2, 2, 2, 2)), "none": np.ones((0, 3)),
    "one": np.array(3.0), "X": counted(2, 12), "short": counted(2, 7), "wide": np.ones((9, 3)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("splits", "options", "error", "text"),
    [
        (None, {}, ConfigError, "a.npz: has 8 arrays; name those of series, e.g. --split train=X"),
        ({"train": "X,y"}, {}, ConfigError, "train=X,y: what is forecast has no labels; name one"),
        ({"train": "Y"}, {}, DataError, "no array 'Y'"),
        ({"train": "gap"}, {"window": 5}, DataError,
         "a.npz 'gap', series 0: .* step 7, channel 'c0' has no value"),
        ({"train": "words"}, {"window": 5}, DataError, "'words': series are numbers, got <U1"),
        ({"train": "four"}, {}, DataError, r"'four': series to forecast are \(N, T, C\), or one"),
        ({"train": "none"}, {}, DataError, r"none of these zero, got \(0, 3\)"),
        ({"train": "one"}, {}, DataError, r"or \(T,\), none of these zero, got \(\)"),
        ({"train": "X", "test": "wide"}, {"window": 5, "target": "c1"}, DataError,
         "all splits must have as many channels, got 'X' 2, 'wide' 3"),
        ({"train": "X"}, {"target": None}, ConfigError, "--target: name the .*; known: c0, c1"),
        ({"train": "X"}, {"target": "load"}, ConfigError, "no channel 'load'; known: c0, c1"),
        ({"train": "gap"}, {"target": None}, DataError, "has no value"),
        ({"train": "wide"}, {"target": "c0"}, ConfigError, "--horizon: give --window, steps of"),
        ({"train": "short"}, {"target": "c1", "window": 5}, DataError, "the 8 steps that a row"),
        ({"train": "X"}, {"series_id": "who"}, ConfigError, "--series-id: is about a table with"),
        ({"train": "X"}, {"encoding": "latin-1"}, ConfigError, "--encoding: is about a table"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_forecast_are_refused(
    tmp_path: Path, splits: dict[str, str] | None, options: dict[str, Any], error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        of_files(tmp_path, arrays(tmp_path, **BAD_ARRAYS), splits=splits, **options)


@pytest.mark.parametrize(
    ("old", "new", "options", "error", "text"),
    [
        ("1003", "?", {}, DataError, "x.ts, series 1: .*step 3, channel 'dim_1' has no value"),
        ("1003", "x", {}, DataError, "x.ts, line 4: dimension 1 holds 'x'"),
        ("a", "a", {"time": "day"}, ConfigError, "--time: is about a table with a row a step"),
        ("a", "a", {"window": 9}, DataError, "no series has the 12 steps that a row needs"),
        ("a", "a", {"target": "load"}, ConfigError, "no channel 'load'; known: dim_0, dim_1"),
    ],
)
def test_ts_files_that_cannot_be_forecast_are_refused(
    tmp_path: Path, old: str, new: str, options: dict[str, Any], error: Any, text: str
) -> None:
    source = ts(tmp_path, (9, 9))
    source.write_text(source.read_text().replace(old, new))
    with pytest.raises(error, match=text):
        of_files(tmp_path, source, **({"target": "dim_1"} | options))


def test_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    splits = {"train": str(ts(tmp_path, (9, 9))), "test": str(table(tmp_path))}
    with pytest.raises(DataError, match="t.csv: series are read from .ts"):
        shard("series", None, tmp_path / "out",
              options=shard_options(target="dim_1", horizon=3, splits=splits))  # fmt: skip


def test_series_too_short_for_a_row_are_counted(tmp_path: Path) -> None:
    source = table(tmp_path, steps=8, ids=3)
    kept = [line for line in source.read_text().splitlines() if not line.startswith("s1,7")]
    source.write_text("\n".join(kept) + "\n")
    dataset, report = made(tmp_path, source, series_id="who", drop=None, window=5)
    assert len(rows_of(dataset, "train")) == 2
    assert report.notes[0] == (
        "split train: 1 of 3 series have not the 8 steps that a row needs, and are left out"
    )


def test_columns_of_steps_are_checked() -> None:
    column = StepsColumn(horizon=2, channel="a", season=1)
    good = np.array([[1.0, 2.0], [3.0, 4.0]])
    column.check(good)
    stored = column.to_arrow(good)
    column.verify(stored)
    assert column.reader([stored])(np.array([1])).tolist() == [[3.0, 4.0]]
    with pytest.raises(ValueError, match="must be float64 \\(2,\\), got float32 \\(2,\\)"):
        column.check(good.astype(np.float32))
    with pytest.raises(ValueError, match="finite, but row 1 has nan"):
        column.check(np.array([[1.0, 2.0], [np.nan, 4.0]]))
