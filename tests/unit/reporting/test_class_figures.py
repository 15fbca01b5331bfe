"""Figures of each class: average precision by hand, IoU, recall; the worst class first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report_of_values import candidate

from raytl.predictions import Predictions
from raytl.reporting.report.class_figures import (
    MOST_CONFUSED,
    average_precision_of_classes,
    class_figure,
    confusion_figure,
)
from raytl.scoring.box_metrics import DETECTIONS
from raytl.sweeping.verdict.confirmed import Confirmation, Verdict


def statistics(detections: list[tuple[float, int, bool]], boxes: list[int]) -> np.ndarray:
    """A row: each detection's score, class, and whether it hits at all thresholds; true boxes."""
    row = np.concatenate([np.full(2 * DETECTIONS, -1.0), np.zeros(DETECTIONS)])
    for place, (score, k, hits) in enumerate(detections):
        row[[place, DETECTIONS + place, 2 * DETECTIONS + place]] = score, k, 1023 if hits else 0
    return np.concatenate([row, boxes])


def test_average_precision_of_each_class_by_hand() -> None:
    # Class 0: both boxes found. Class 1: one of two boxes found, after a miss: the precision is 1/2
    # up to recall 1/2, that is at 51 of 101 recalls. Class 2 has no box.
    rows = [
        statistics([(0.9, 0, True), (0.8, 1, False)], [1, 1, 0]),
        statistics([(0.7, 0, True), (0.6, 1, True), (0.5, 2, False)], [1, 1, 0]),
    ]
    run = Predictions(np.arange(2), np.zeros(2, np.int64), None, statistics_NM=np.stack(rows))
    found = average_precision_of_classes(run)
    assert found[:2] == pytest.approx([1.0, 0.5 * 51 / 101])
    assert np.isnan(found[2])


def confirmation_of(run: Path, metric: str, **of_ours: Any) -> Confirmation:
    ours = candidate(run, "ours", None, 0.5).model_copy(update=of_ours)
    theirs = candidate(run, "plain", "scratch", 0.4).model_copy(update={"recall": [0.1, 0.2, None]})
    return Confirmation(
        metric=metric, split="test", test_rows=19, classes=["a", "b", "c"], seeds=[0, 1],  # type: ignore[arg-type]
        level=0.95, margin=0.15, labels_read=10, candidates=[ours, theirs], comparisons=[],
        verdict=Verdict(kind="helps", sentence="it helps"), recommended="ours",
    )  # fmt: skip


def test_the_worst_class_stands_first_and_a_class_without_rows_last(tmp_path: Path) -> None:
    figure = class_figure(
        confirmation_of(tmp_path, "accuracy", recall=[0.9, 0.25, None]), lambda one: []
    )
    assert figure is not None
    assert [row["name"] for row in figure["rows"]] == ["b", "a", "c"]
    assert [row["values"] for row in figure["rows"]] == [[25.0, 20.0], [90.0, 10.0], [None, None]]
    assert figure["names"] == ["ours", "plain"] and "recall" in figure["label"]


def test_of_many_classes_those_that_are_mistaken_most_are_drawn(tmp_path: Path) -> None:
    count = MOST_CONFUSED + 40
    counts = np.diag(np.full(count, 9))
    counts[:MOST_CONFUSED, count - 1] = 2  # so the last class is among them, and 59 is not
    ours = candidate(tmp_path, "ours", None, 0.5).model_copy(update={"confusion": counts.tolist()})
    figure = confusion_figure(ours, [str(k) for k in range(count)])
    assert figure is not None and f"the {MOST_CONFUSED} that are mistaken most" in figure["label"]
    names, drawn = figure["classes"], np.array(figure["counts"])
    assert names == [*map(str, range(MOST_CONFUSED - 1)), str(count - 1), "40 others"]
    assert drawn.sum() == counts.sum() and (drawn[:, -2] == [*[2] * 59, 9, 2]).all()
    assert drawn[-1].tolist() == [0] * 59 + [2, 40 * 9]
    small = ours.model_copy(update={"confusion": [[3, 1], [0, 2]]})
    assert confusion_figure(small, ["a", "b"]) == {
        "classes": ["a", "b"], "counts": [[3, 1], [0, 2]], "label": "true by predicted class",
    }  # fmt: skip


def test_masks_are_told_by_their_iou(tmp_path: Path) -> None:
    confusion = [[6, 2, 0], [0, 2, 0], [0, 0, 0]]
    figure = class_figure(confirmation_of(tmp_path, "miou", confusion=confusion), lambda one: [])
    assert figure is not None and "IoU" in figure["label"]
    assert {row["name"]: row["values"][0] for row in figure["rows"]} == {
        "a": 75.0, "b": 50.0, "c": None
    }  # fmt: skip


def test_boxes_whose_predictions_are_gone_have_no_figure(tmp_path: Path) -> None:
    assert class_figure(confirmation_of(tmp_path, "map50"), lambda one: []) is None
