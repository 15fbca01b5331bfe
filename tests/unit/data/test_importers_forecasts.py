"""`raytl shard series --horizon`: windows in time, rows a series, and what is refused."""

from pathlib import Path
from typing import Any

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
