"""`raytl pretrain` and `raytl predict` on values and on rows without a label."""

import csv
from pathlib import Path

import pytest
from values_support import write_classes, write_values

from raytl import verbs
from raytl.errors import ModelError
from raytl.training.pretrain import pretrain


@pytest.fixture
def model(tmp_path: Path) -> Path:
    data = write_values(tmp_path / "data", 0)
    spec = pretrain(data, "small_cnn", tmp_path / "model", epochs=2, args={"width": 4})
    assert spec.score is not None and set(spec.score) == {"validation_r2"}
    assert spec.task is not None and spec.task["kind"] == "regression"
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


def test_a_model_of_values_does_not_predict_classes(model: Path, tmp_path: Path) -> None:
    classes = write_classes(tmp_path / "classes", 0)
    with pytest.raises(ModelError, match="it asks for values, and the other for a label"):
        verbs.predict(model, classes)
