"""Series out of .ts files, arrays and long tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.data.importing import in_order, sharded, written

from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError
from raytl.modalities.series.column import SeriesColumn
from raytl.tasks.columns import LabelColumn

TS = "@univariate true\n@classLabel true a b\n@data\n1,2,3:b\n4,5:a\n"


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    written(tmp_path / "in/X_TRAIN.ts", TS)
    written(tmp_path / "in/X_TEST.ts", TS.replace("4,5", "6"))
    sharded("series", tmp_path / "in", tmp_path / "d")
    series, labels = in_order(tmp_path / "d", "test", "series", "label")
    assert [s[:, 0].tolist() for s in series] == [[1, 2, 3], [6]]
    assert labels.tolist() == [1, 0]


def test_arrays_with_labels_and_groups(tmp_path: Path) -> None:
    X = np.arange(24.0).reshape(4, 3, 2)
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["p", "q", "p", "q"]), g=np.array([7, 7, 8, 9]))
    sharded("series", tmp_path / "a.npz", tmp_path / "d", splits={"train": "X,y,g"})
    series, labels, groups = in_order(tmp_path / "d", "train", "series", "label", "group")
    assert np.array_equal(np.stack(series), X)
    assert labels.tolist() == [0, 1, 0, 1] and groups.tolist() == [0, 0, 1, 2]


LONG = "who,t,x,y,out,site\nb,2,3,30,p,l\na,1,5,50,q,m\nb,1,4,40,p,l\na,10,6,60,q,m\na,9,7,70,q,m\n"
PARTS = {"series_id": "who", "time": "t", "target": "out"}


def test_a_long_table_is_put_in_order_of_time(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", LONG)
    sharded("series", source, tmp_path / "d", **PARTS, group="site")
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.columns["series"] == SeriesColumn(channels=("x", "y"), typical_steps=2)
    assert dataset.columns["out"] == LabelColumn(classes=("p", "q")) and dataset.group == "site"
    series, labels = in_order(tmp_path / "d", "train", "series", "out")
    assert [s.tolist() for s in series] == [[[5, 50], [7, 70], [6, 60]], [[4, 40], [3, 30]]]
    assert labels.tolist() == [1, 0]


def test_names_of_series_may_begin_anew_in_the_file_of_each_split(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "who,t,x,out\n1,2,3,p\n2,1,5,q\n1,1,4,p\n")
    written(tmp_path / "b.csv", "who,t,x,out\n1,1,7,q\n1,2,8,q\n")
    sharded("series", tmp_path, tmp_path / "d", **PARTS, splits={"train": "a.csv", "test": "b.csv"})
    for split, steps, classes in (
        ("train", [[4, 3], [5]], [0, 1]), ("test", [[7, 8]], [1]),
    ):  # fmt: skip
        series, labels = in_order(tmp_path / "d", split, "series", "out")
        assert [one[:, 0].tolist() for one in series] == steps and labels.tolist() == classes


def test_a_series_in_two_splits_of_a_column_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", "who,t,x,out,split\n1,2,3,p,train\n1,1,5,p,test\n")
    with pytest.raises(DataError, match="series '1' has one split in column 'split', but 'train'"):
        sharded("series", source, tmp_path / "d", **PARTS, split_column="split")


@pytest.mark.parametrize(
    ("old", "new", "options", "message"),
    [
        ("4,40,p", "4,40,q", {}, "line 4: series 'b' has one target in column 'out', but 'p' and"),
        ("a,9,", "a,1,", {}, "series 'a' has the time 1 twice"),
        ("4,40", "4,?", {}, "series 'b': all values must be finite.*channel 'y' has no value"),
        ("4,40,p,l", "4,40,p,n", {"group": "site"}, "series 'b' has one group in column 'site'"),
        ("b,1", ",1", {}, r"line 4: column 'who' \(--series-id\) has no value"),
        ("x", "x", {}, "column 'site' has words, and a channel has numbers; .*--drop 'site'"),
    ],
)
def test_long_tables_that_cannot_be_used(
    tmp_path: Path, old: str, new: str, options: Any, message: str
) -> None:
    source = written(tmp_path / "a.csv", LONG.replace(old, new))
    parts = PARTS | options
    if "site" not in message and "group" not in options:
        parts["drop"] = ["site"]
    with pytest.raises(DataError, match=message):
        sharded("series", source, tmp_path / "d", **parts)


def test_files_that_are_no_series(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "a.npz", X=np.full((2, 3), np.nan), y=[0, 1], w=["a", "b"], Z=np.zeros(2))
    for source, options, message in [
        ("empty", {}, r"no file ends in _TRAIN\.ts"),
        ("a.csv", {}, "series are read from"),
        ("a.npz", {"splits": {"train": "X,y"}}, r"a\.npz 'X', series 0: .* no value \(NaN\)"),
        ("a.npz", {"splits": {"train": "w,y"}}, "'w': series are numbers"),
        ("a.npz", {"splits": {"train": "Z,y"}}, r"\(N, T\) or \(N, T, C\)"),
        ("a.npz", {"splits": {"train": "X,X"}}, "'X': labels are a word or a number for each"),
    ]:
        with pytest.raises(DataError, match=message):
            sharded("series", tmp_path / source, tmp_path / "d", **options)


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", LONG)
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 3)), y=[0, 1])
    for path, options, message in [
        (source, {"series_id": "who"}, "--target: name the column"),
        (source, {"series_id": "wh", "target": "out"}, "--series-id: .* did you mean 'who'"),
        (source, {"series_id": "out", "target": "out"}, "column 'out' has two parts"),
        (source, {"target": "out"}, "--target: is about a table in long form"),
        (tmp_path / "a.npz", {}, "name the keys"),
        (tmp_path / "a.npz", {"splits": {"train": "X"}}, "expected NAME=SERIES,LABELS"),
    ]:
        with pytest.raises(ConfigError, match=message):
            sharded("series", path, tmp_path / "d", **options)
