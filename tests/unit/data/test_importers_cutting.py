"""Rows are cut from train into test and validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from unit.data.importing import in_order, sharded, written

from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError


def rows(count: int) -> str:
    """Return a table of rows 0, 1, …, a quarter of class y, ten groups."""
    lines = (f"{i},g{i % 10},{'y' if i // 10 % 4 == 0 else 'x'}\n" for i in range(count))
    return "a,g,out\n" + "".join(lines)


def cut(tmp_path: Path, name: str, **options: Any) -> dict[str, list[int]]:
    """Return which rows of the table stand in which split."""
    source = written(tmp_path / "a.csv", rows(200))
    drop = {} if "group" in options else {"drop": ["g"]}
    info = sharded("table", source, tmp_path / name, target="out", **drop, **options).info
    return {
        split: in_order(tmp_path / name, split, "table")[0][:, 0].astype(int).tolist()
        for split in info.splits
    }


def test_classes_keep_their_shares_and_every_row_has_a_place(tmp_path: Path) -> None:
    found = cut(tmp_path, "d", test=0.2, validation=0.1)
    assert {name: len(part) for name, part in found.items()} == {
        "train": 140, "test": 40, "validation": 20,
    }  # fmt: skip
    assert sorted(row for part in found.values() for row in part) == list(range(200))
    assert sum(row // 10 % 4 == 0 for row in found["test"]) == 10
    assert Dataset.open(tmp_path / "d").split("test").ids().min() == 140


def test_the_seed_decides_who_is_cut(tmp_path: Path) -> None:
    one, again, other = (
        cut(tmp_path, f"d{i}", test=0.2, seed=seed)["test"] for i, seed in enumerate((0, 0, 1))
    )
    assert one == again != other


def test_a_group_stands_on_one_side_alone(tmp_path: Path) -> None:
    found = cut(tmp_path, "d", test=0.2, group="g")
    groups = {name: {row % 10 for row in part} for name, part in found.items()}
    assert len(groups["test"]) == 2
    assert not groups["train"] & groups["test"]


def test_rows_without_a_target_stay_or_go_with_their_group(tmp_path: Path) -> None:
    content = rows(200).replace("0,g0,y", "0,g0,").replace("5,g5,x", "5,g5,")
    source = written(tmp_path / "a.csv", content)
    sharded("table", source, tmp_path / "d", target="out", test=0.2, unlabelled=True, drop=["g"])
    assert (in_order(tmp_path / "d", "test", "out")[0] >= 0).all()
    sharded("table", source, tmp_path / "e", target="out", test=0.2, unlabelled=True, group="g")
    dataset = Dataset.open(tmp_path / "e")
    train, test = (set(dataset.split(name).all("g").tolist()) for name in ("train", "test"))
    assert len(train | test) == 10 and not train & test


def test_values_are_cut_by_bins(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", "a,out\n" + "".join(f"1,{i / 8}\n" for i in range(100)))
    sharded("table", source, tmp_path / "d", target="out", test=0.2)
    [values] = in_order(tmp_path / "d", "test", "out")
    assert np.histogram(values * 8, bins=10, range=(0, 100))[0].tolist() == [2] * 10


def test_one_group_alone_is_no_group(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", rows(200))
    report = sharded(
        "table", source, tmp_path / "d", target="out", group="g", where=["g=g3"], test=0.5
    )
    assert Dataset.open(tmp_path / "d").group is None
    assert "all rows are of one group, 'g3', so no group is kept" in report.notes


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for label, name in enumerate(("ants", "bees")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (4, 4), (100 * label, index, 0))
            picture.save(tmp_path / "in" / name / f"{index}.png")
    return tmp_path / "in"


def test_a_plain_folder_of_classes_gets_a_test_split(pictures: Path, tmp_path: Path) -> None:
    report = sharded("image-folder", pictures, tmp_path / "d", size=4, test=0.3)
    assert {name: part.rows for name, part in report.info.splits.items()} == {
        "train": 14, "test": 6,
    }  # fmt: skip
    images, labels = in_order(tmp_path / "d", "test", "image", "label")
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (images[:, 0, 0, 0] == 100 * labels).all()


def test_without_one_it_is_said_how(pictures: Path, tmp_path: Path) -> None:
    report = sharded("image-folder", pictures, tmp_path / "d", size=4)
    assert list(report.info.splits) == ["train"]
    assert report.notes == [
        "all rows are in the split train; --test 0.2 puts a fifth of them into a split test"
    ]


def test_what_is_there_is_not_cut_again(pictures: Path, tmp_path: Path) -> None:
    pictures.rename(tmp_path / "train")
    (tmp_path / "in").mkdir()
    (tmp_path / "train").rename(tmp_path / "in/test")
    with pytest.raises(ConfigError, match="--test: .* there is a split test already"):
        sharded("image-folder", tmp_path / "in", tmp_path / "d", size=4, test=0.3)
    with pytest.raises(ConfigError, match="--validation: .* there is no such split"):
        sharded("image-folder", tmp_path / "in", tmp_path / "d", size=4, validation=0.3)


def test_a_share_too_small_for_the_classes(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--test: cannot hold out 0.05 of 20.*raise --test"):
        sharded("image-folder", pictures, tmp_path / "d", size=4, test=0.05)


def test_arrays_are_cut_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.zeros((20, 2, 2), np.uint8), y=np.arange(20) % 2)
    report = sharded(
        "arrays", tmp_path / "a.npz", tmp_path / "d", splits={"train": "X,y"}, validation=0.2
    )
    assert report.info.splits["validation"].rows == 4


def test_diabetes_is_ten_numbers_and_a_value(tmp_path: Path) -> None:
    sharded("diabetes", None, tmp_path / "d")
    train, test = (in_order(tmp_path / "d", split, "table")[0] for split in ("train", "test"))
    assert train.shape == (342, 10) and test.shape == (100, 10)
    values = np.concatenate(
        [in_order(tmp_path / "d", s, "progression")[0] for s in ("train", "test")]
    )
    assert values.sum() == pytest.approx(67243)


def test_rows_are_cut_from_the_split_that_is_learnt_from(tmp_path: Path) -> None:
    split = [("Train", "extra")[row % 4 == 0] for row in range(80)]
    lines = "".join(f"{row},{row % 3 % 2},{name}\n" for row, name in enumerate(split))
    source = written(tmp_path / "a.csv", "a,out,split\n" + lines)
    options = {"target": "out", "split_column": "split"}
    info = sharded("table", source, tmp_path / "d", test=0.5, **options).info
    assert {name: of.rows for name, of in info.splits.items()} == {
        "Train": 30, "extra": 20, "test": 30,
    }  # fmt: skip
