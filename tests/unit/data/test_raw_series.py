"""Raw tables with a row a step, as a model of series reads them."""

from pathlib import Path
from typing import Any

import pytest

from raytl.data.importers import table_files
from raytl.data.importers.options import ShardOptions
from raytl.data.raw.reading import raw_rows
from raytl.data.raw.rows import RawReading, RawRows
from raytl.errors import DataError
from raytl.modalities.series.column import SeriesColumn

HEAD = "who,day,note,heat,load"
LINES = [f"s{i},{t},x,{t % 7},{100 * i + t}" for t in (2, 0, 1) for i in (10, 2, 3)]


def found(folder: Path, lines: list[str], **options: Any) -> RawRows:
    path = folder / "t.csv"
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    given = ShardOptions(**({"series_id": "who", "time": "day"} | options))
    columns = {"series": SeriesColumn(channels=("load", "heat"))}
    return raw_rows(path, RawReading(columns, "series", given))


def read(rows: RawRows, left_out: list[str], skip_bad: bool) -> dict[str, list[list[float]]]:
    return {
        rows.names[number]: series.tolist()
        for chunk in rows.read(left_out, skip_bad=skip_bad)
        for number, series in zip(chunk.places_N.tolist(), chunk.values["series"], strict=True)
    }


def test_series_have_the_models_channels_and_are_called_by_their_names(tmp_path: Path) -> None:
    rows = found(tmp_path, LINES)
    assert rows.called == "series"
    assert read(rows, [], False) == {
        f"s{i}": [[100 * i + t, t] for t in range(3)] for i in (10, 2, 3)
    }


def test_a_table_without_names_of_series_is_one_row(tmp_path: Path) -> None:
    rows = found(tmp_path, [line for line in LINES if line.startswith("s2")], series_id=None)
    assert (rows.called, read(rows, [], False)) == ("row", {"0": [[200 + t, t] for t in range(3)]})


def test_a_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, plain = [], table_files._read_csv
    monkeypatch.setattr(
        table_files, "_read_csv", lambda path, *rest: files.append(path) or plain(path, *rest)
    )
    found(tmp_path, LINES)
    assert files == [tmp_path / "t.csv"]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("", "column 'load' has no value; fill it"),
        ("nan", "column 'load' has no value; fill it"),
        ("1e999", "column 'load' has an infinite number"),
        ("heavy", "column 'load' has 'heavy' where a number is needed"),
    ],
)
def test_a_step_without_a_number_makes_its_series_bad_and_no_other(
    tmp_path: Path, cell: str, told: str
) -> None:
    lines = [*LINES]
    lines[4] = f"s2,0,x,0,{cell}"
    named = f"{tmp_path}/t.csv, line 6, series 's2': {told}"
    left_out: list[str] = []
    assert set(read(found(tmp_path, lines), left_out, True)) == {"s10", "s3"}
    assert len(left_out) == 1 and left_out[0].startswith(named)
    with pytest.raises(DataError) as error:
        read(found(tmp_path, lines), [], False)
    assert str(error.value).startswith(named)


def test_a_number_that_float32_cannot_hold_is_named(tmp_path: Path) -> None:
    left_out: list[str] = []
    lines = [*LINES[:4], "s2,0,x,0,1e39", *LINES[5:]]
    assert set(read(found(tmp_path, lines), left_out, True)) == {"s10", "s3"}
    (told,) = left_out
    assert "series 's2': all values must be finite" in told
    assert "row 1, step 0, channel 'load' has an infinity" in told


def test_a_series_of_a_ts_file_is_told_by_its_number_among_all(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text("@data\n1,x\n1,?\n3,4\n")
    columns = {"series": SeriesColumn(channels=("load",))}
    rows = raw_rows(tmp_path / "x.ts", RawReading(columns, "series", ShardOptions()))
    left_out: list[str] = []
    assert read(rows, left_out, True) == {"2": [[3.0], [4.0]]}
    assert "x.ts, line 2: dimension 0 holds 'x'" in left_out[0]
    assert left_out[1].startswith(
        f"{tmp_path}/x.ts, series 1: all values must be finite, but row 1"
    )


def test_a_series_shorter_than_the_window_is_left_out_by_name(tmp_path: Path) -> None:
    left_out: list[str] = []
    lines = [line for line in LINES if not line.startswith("s3,0")]
    assert set(read(found(tmp_path, lines, window=3), left_out, True)) == {"s10", "s2"}
    (told,) = left_out
    assert told.endswith("series 's3': has 2 steps, but the model reads the last 3")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([*LINES, "s2,0,x,1,1"], "line 11: series 's2' has the time 0 twice"),
        ([*LINES, ",3,x,1,1"], "line 11: column 'who' (--series-id) has no value"),
    ],
)
def test_steps_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, lines: list[str], told: str
) -> None:
    with pytest.raises(DataError) as error:
        found(tmp_path, lines)
    assert told in str(error.value)


def test_a_channel_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("who,day,heat\ns1,0,1\n")
    columns = {"series": SeriesColumn(channels=("load", "heat"))}
    with pytest.raises(DataError, match="has no column 'load', a channel .*it has who, day, heat"):
        raw_rows(tmp_path / "t.csv", RawReading(columns, "series", ShardOptions()))
