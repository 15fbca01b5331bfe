"""Average precision of statistics that are made by hand, and of any weighting of rows."""

import numpy as np
import pytest

from raytl.scoring.box_metrics import (
    DETECTIONS,
    IOUS,
    all_found,
    middling,
    nothing_found,
    parted,
)
from raytl.scoring.metrics import METRICS

EVERY = 2 ** len(IOUS) - 1


def row(detections: list[tuple[float, int, int]], boxes: list[int]) -> np.ndarray:
    """Statistics of a row: (score, class, bits of the thresholds that are hit) and boxes of each
    class."""
    found = np.zeros((3, DETECTIONS))
    found[:2] = -1
    found[:, : len(detections)] = np.array(detections).reshape(-1, 3).T
    return np.concatenate([found.reshape(-1), boxes])


def score(name: str, rows: list[np.ndarray], weights: list[list[int]] | None = None) -> list[float]:
    statistics, zeros = np.stack(rows), np.zeros(len(rows), np.int64)
    return (
        METRICS[name]
        .score(zeros, statistics, np.array(weights or [[1] * len(rows)], float))
        .tolist()
    )


FIRST = row([(0.9, 0, EVERY), (0.6, 0, 0), (0.5, 1, 1)], [2, 1])
SECOND = row([(0.7, 0, 1)], [1, 0])


def test_the_average_precision_of_a_class_is_the_mean_over_recalls() -> None:
    # Class 0 of 3 boxes, by score: hit, hit, miss. Precision is 1 up to recall 2 / 3, then 0: the
    # recalls 0, 0.01, … 0.66 are 67 of 101.
    assert score("map50", [FIRST, SECOND]) == [pytest.approx((67 / 101 + 1) / 2)]


def test_the_mean_is_over_thresholds_too() -> None:
    # At the other nine thresholds class 0 has one hit alone, at recall 1 / 3, and class 1 none.
    of_each = [(67 / 101 + 1) / 2] + 9 * [34 / 101 / 2]
    assert score("map", [FIRST, SECOND]) == [pytest.approx(np.mean(of_each))]


def test_a_miss_before_a_hit_lowers_precision() -> None:
    late = row([(0.9, 0, 0), (0.8, 0, EVERY)], [1])
    assert score("map50", [late]) == [pytest.approx(0.5)]


def test_a_row_that_weighs_twice_is_there_twice() -> None:
    twice = score("map50", [FIRST, SECOND, SECOND])
    assert score("map50", [FIRST, SECOND], [[1, 2], [1, 1]])[0] == pytest.approx(twice[0])


def test_a_class_without_a_box_in_a_draw_has_its_plain_score() -> None:
    whole, without = score("map50", [FIRST, SECOND], [[1, 1], [0, 2]])
    assert without == pytest.approx((1.0 + 1.0) / 2) and whole < without


def test_detections_of_a_class_that_nothing_is_of_count_for_nothing() -> None:
    assert score("map50", [row([(0.9, 1, 0), (0.8, 0, 1)], [1, 0])]) == [1.0]


def test_rows_without_boxes_have_the_score_zero_and_make_others_less_precise() -> None:
    false = row([(0.99, 0, 0)], [0, 0])
    assert score("map50", [false]) == [0.0]
    assert score("map50", [false, SECOND]) == [pytest.approx(0.5)]


def test_draws_are_scored_in_parts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(0).integers(1, 3, (7, 2))
    whole = score("map", [FIRST, SECOND], weights.tolist())
    monkeypatch.setattr("raytl.scoring.box_metrics.LARGEST", 2)
    assert score("map", [FIRST, SECOND], weights.tolist()) == whole


def test_all_right_and_no_answer_are_the_ends_of_the_scale() -> None:
    rows = np.stack([FIRST, SECOND])
    assert score("map", list(all_found(rows))) == [1.0]
    assert score("map", list(nothing_found(rows))) == [0.0]
    assert (parted(all_found(rows))[3] == parted(rows)[3]).all()
    assert (parted(nothing_found(rows))[3] == [[2, 1], [1, 0]]).all()


def test_the_middling_row_is_one_that_is_not_all_right() -> None:
    right, half, none = SECOND, row([(0.9, 0, 1)], [2, 0]), row([(0.3, 1, 0)], [1, 1])
    rows = np.stack([right, half, none])
    assert (middling((0,), rows) == none).all()  # of two rows the lower one
    assert (middling((0,), np.stack([right, half])) == half).all()
    assert (middling((0,), np.stack([right])) == all_found(right[None])).all()
