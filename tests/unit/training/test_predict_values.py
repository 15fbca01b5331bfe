"""`raytl pretrain` and `raytl predict` on values and on rows without a label."""

import csv
from pathlib import Path

import numpy as np
import pytest
from values_support import IMAGE, brightness, write_classes, write_values

from raytl import verbs
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.column import Column
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.training.pretrain import pretrain


@pytest.fixture
def model(tmp_path: Path) -> Path:
    data = write_values(tmp_path / "data", 0)
    spec = pretrain(data, "small_cnn", tmp_path / "model", epochs=2, args={"width": 4})
    assert spec.score is not None and set(spec.score) == {"validation_r2"}
    assert spec.task is not None and spec.task["kind"] == "regression"
    assert spec.rows is not None and spec.rows.columns["image"]["shape"] == [8, 8, 1]
    return tmp_path / "model"


def rows_of(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def test_values_are_predicted_in_their_unit(model: Path, tmp_path: Path) -> None:
    found = verbs.predict(model, tmp_path / "data", out=tmp_path / "out.csv")
    assert set(found) == {"rows", "rmse", "r2", "out"} and found["rows"] == 40
    head, *rows = rows_of(tmp_path / "out.csv")
    assert head == ["id", "predicted"] and len(rows) == 40
    assert all(900 < float(value) < 1150 for _, value in rows)


def test_rows_without_a_value_are_predicted_too_and_judged_not(model: Path, tmp_path: Path) -> None:
    holes = write_values(tmp_path / "holes", 0, nulls=True)
    whole = verbs.predict(model, tmp_path / "data", split="test")
    found = verbs.predict(model, holes, out=tmp_path / "out.csv")
    assert found["rows"] == 40 and len(rows_of(tmp_path / "out.csv")) == 41
    assert found["rmse"] != whole["rmse"]


def test_classes_without_any_label_are_predicted_without_a_score(tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", 0)
    pretrain(data, "small_cnn", tmp_path / "model", epochs=1, args={"width": 4})
    none = write_classes(tmp_path / "none", 1, nulls=("test",))
    found = verbs.predict(tmp_path / "model", none, out=tmp_path / "out.csv")
    assert found == {"rows": 40, "out": str(tmp_path / "out.csv")}
    head, first, *_ = rows_of(tmp_path / "out.csv")
    assert head == ["id", "predicted", "probability"] and first[1] in ("dark", "bright")
    assert set(verbs.predict(tmp_path / "model", data)) == {"rows", "accuracy", "out"}


def test_a_target_of_another_kind_is_not_judged_by_and_that_is_said(
    model: Path, tmp_path: Path
) -> None:
    classes = write_classes(tmp_path / "classes", 0)
    found = verbs.predict(model, classes)
    assert set(found) == {"rows", "note", "out"} and found["rows"] == 40
    assert "it asks for values, and the other for a label (column target)" in found["note"]


def write_test(out: Path, targets: dict[str, Column]) -> Path:
    """Write a split test of images and values; with any of a value's, a label's or no target."""
    images, level_N = brightness(40, 3)
    values = {"image": images} | {
        name: 1000 + 50 * level_N if column.kind == "value" else np.arange(40) % 2
        for name, column in targets.items()
    }
    chunks = {"test": [Chunk(values, np.arange(40))]}
    write_dataset(out, {"image": IMAGE} | targets, chunks, {})
    return out


def test_rows_without_a_target_column_are_predicted_without_a_word(
    model: Path, tmp_path: Path
) -> None:
    bare = write_test(tmp_path / "bare", {})
    found = verbs.predict(model, bare, out=tmp_path / "out.csv")
    assert found == {"rows": 40, "out": str(tmp_path / "out.csv")}
    data = write_test(tmp_path / "with", {"target": ValueColumn()})
    verbs.predict(model, data, out=tmp_path / "with.csv")
    assert rows_of(tmp_path / "out.csv") == rows_of(tmp_path / "with.csv")


def test_classes_of_rows_without_a_target_column_are_predicted(tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", 0)
    pretrain(data, "small_cnn", tmp_path / "model", epochs=1, args={"width": 4})
    found = verbs.predict(tmp_path / "model", write_test(tmp_path / "bare", {}))
    assert found == {"rows": 40, "out": None}


def test_of_several_targets_the_one_that_suits_is_judged_by(model: Path, tmp_path: Path) -> None:
    label = LabelColumn(classes=("dark", "bright"))
    two = write_test(tmp_path / "two", {"kind": label, "size": ValueColumn()})
    assert set(verbs.predict(model, two)) == {"rows", "rmse", "r2", "out"}
    alike = write_test(tmp_path / "alike", {"size": ValueColumn(), "width": ValueColumn()})
    found = verbs.predict(model, alike)
    assert set(found) == {"rows", "note", "out"} and "size, width could each be" in found["note"]
