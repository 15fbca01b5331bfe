"""Files of series: what they hold, and what is said of bad lines."""

from pathlib import Path

import numpy as np
import pytest

from raytl.errors import DataError
from raytl.modalities.series.ts_file import read_ts

HEADER = "# of two motions\n@problemName Motions\n@dimensions 2\n@equalLength false\n"
LABELLED = HEADER + "@classLabel true walk run\n@data\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "motions.ts"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_labels_and_channels_are_read(tmp_path: Path) -> None:
    text = LABELLED + "1,2,3:4,5,6.5:walk\n\n# between\n 7 : -8e-1 : run \n"
    series, labels, channels = read_ts(written(tmp_path, text))
    assert [s.tolist() for s in series] == [
        [[1, 4], [2, 5], [3, 6.5]],
        [[7, np.float32(-0.8)]],
    ]
    assert all(s.dtype == np.float32 for s in series)
    assert labels == ["walk", "run"] and channels == ("dim_0", "dim_1")


def test_a_missing_value_is_not_a_number(tmp_path: Path) -> None:
    series, _, _ = read_ts(written(tmp_path, LABELLED + "1,?:NaN,2:walk\n"))
    np.testing.assert_array_equal(series[0], [[1, np.nan], [np.nan, 2]])


def test_without_labels_all_parts_are_dimensions(tmp_path: Path) -> None:
    text = "@univariate true\n@classLabel false\n@DATA\n1,2\n3\n"
    series, labels, channels = read_ts(written(tmp_path, text))
    assert len(series) == 2 and labels == [] and channels == ("dim_0",)


def test_numbers_to_predict_are_labels_too(tmp_path: Path) -> None:
    assert read_ts(written(tmp_path, HEADER + "@targetLabel true\n@data\n1:2:0.5\n")).labels == [
        "0.5"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LABELLED + "1:2:walk\n1:2:swim\n", "line 8: the label 'swim' is none of .* walk, run"),
        (LABELLED + "1:2:3:walk\n", "line 7: 2 dimensions were expected, got 3"),
        (LABELLED + "1:walk\n", "line 7: 2 dimensions were expected, got 1"),
        (LABELLED + "1,2:2:walk\n", "line 7: all dimensions of a row must be as long, got 1 and 2"),
        (LABELLED + "1,x:2,3:walk\n", "line 7: dimension 0 holds 'x', which is no number"),
        (LABELLED + "1,:2,3:walk\n", "line 7: dimension 0 holds '', which is no number"),
        (LABELLED, "no series after @data"),
        (HEADER, "there is no @data"),
        ("1,2:3,4:walk\n" + LABELLED, "line 1: expected @name value or @data"),
        ("@timeStamps true\n", "line 1: series with time stamps are not read"),
        ("@timeStamps maybe\n", "line 1: @timestamps is true or false, got 'maybe'"),
        ("@classLabel\n", "line 1: @classlabel is true or false"),
        ("@dimensions none\n", "line 1: @dimensions is a whole number from 1, got 'none'"),
        (
            "@equalLength true\n@seriesLength 3\n@classLabel false\n@data\n1,2\n",
            "line 5: @equalLength and @seriesLength say 3 steps, got 2",
        ),
        ("@classLabel false\n@data\n1:2\n1\n", "line 4: 2 dimensions were expected, got 1"),
    ],
)
def test_bad_lines_are_named_by_number(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_ts(written(tmp_path, text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(b"@problemName \xff\xfe\n")
    with pytest.raises(DataError, match="no UTF-8 text"):
        read_ts(path)
    with pytest.raises(DataError, match="No such file"):
        read_ts(tmp_path / "missing.ts")
