"""In which order the steps of a series stand: by numbers and by dates, never by letters."""

from pathlib import Path

import pytest

from raytl.data.dataset import Dataset
from raytl.data.shard import shard, shard_options
from raytl.errors import ConfigError, DataError


def steps_of(folder: Path, times: list[str], **options: object) -> list[float]:
    """Return the values of a series whose rows, in this order, have the values 0, 1, 2, …"""
    lines = ["when,load", *(f"{time},{value}" for value, time in enumerate(times))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    given = {"target": "load", "time": "when", "horizon": 1, "window": len(times) - 1} | options
    given = {name: value for name, value in given.items() if value is not None}
    shard("series", str(folder / "t.csv"), folder / "out", options=shard_options(**given))
    part = Dataset.open(folder / "out").split("train")
    window, to_come = part.read("series", [0])[0], part.read("steps", [0])[0]
    return [*window[:, 0].tolist(), *to_come.tolist()]


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-09", "2020-01-10", "2020-02-01"],
        ["2020/01/09", "2020/01/10", "2020/02/01"],
        ["2019-12", "2020-01", "2020-02"],
        ["2020-01-09", "2020-01-09T00:30", "2020-01-09 01:00:00.5"],
        ["2020-03-29T03:30+02:00", "2020-03-29T02:00+00:00", "2020-03-29T02:30Z"],
        ["9", "10", "11.5"],
        ["2019-W52", "2020-W09", "2020-W10"],
        ["2019Q4", "2020Q1", "2020Q2"],
        ["07:45", "08:30", "10:00"],
        ["step_07", "step_08", "step_10"],
    ],
)
def test_steps_stand_in_the_order_of_time(tmp_path: Path, times: list[str]) -> None:
    assert steps_of(tmp_path, times) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "times",
    [
        ["01/31/2020", "02/01/2020", "01/01/2021"],
        ["31.01.2020", "01.02.2020", "02.02.2020"],
        ["9 Jan 2020", "10 Jan 2020", "1 Feb 2020"],
        ["2020-1-9", "2020-1-10", "2020-2-1"],
        ["12:30 AM", "01:30 AM", "02:30 AM"],
        ["05 Jan 2020", "03 Jan 2021", "04 Jan 2021"],
        ["2020-01-01 11:00 AM", "2020-01-01 12:00 PM", "2020-01-01 01:00 PM"],
    ],
)
def test_dates_that_would_stand_in_the_order_of_letters_are_refused(
    tmp_path: Path, times: list[str]
) -> None:
    with pytest.raises(DataError, match=r"line 2: a time is a number or as 2020-01-31 .*, got '"):
        steps_of(tmp_path, times)
    assert not (tmp_path / "out").exists()


def test_times_with_and_without_a_zone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: all times must have a zone or none"):
        steps_of(tmp_path, ["2020-01-09T00:00Z", "2020-01-10", "2020-01-11"])


def test_one_time_twice_is_refused_with_the_option_that_tells_series(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has the time 2020-01-09T00:00 twice.*--series-id"):
        steps_of(tmp_path, ["2020-01-09", "2020-01-09T00:00", "2020-01-10"])


def test_a_column_of_dates_is_no_channel_and_the_option_for_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'when' has dates or times.*--time 'when'"):
        steps_of(tmp_path, ["2020-01-09", "2020-01-10", "2020-02-01"], time=None)
