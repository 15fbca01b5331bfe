"""Scores on weighted rows against scikit-learn, repeated rows and hand counts."""

import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from raytl.errors import DataError, TrainingError
from raytl.scoring import weighing
from raytl.scoring.box_metrics import DETECTIONS
from raytl.scoring.metrics import METRICS, Metric, margin_of
from raytl.scoring.probability_metrics import LEAST_PROBABILITY
from raytl.scoring.sentence_metrics import WIDTH

ROWS = 80
# Others: see test_mask_metrics, test_box_metrics, test_sentence_metrics and test_step_metrics
STATISTICS = ("pixels", "boxes", "sentences", "steps")
OF_ROWS = {name: metric for name, metric in METRICS.items() if metric.reads not in STATISTICS}


def rows(metric: Metric, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions better than chance, with many ties among the probabilities."""
    generator = np.random.default_rng(seed)
    if metric.reads == "pixels":
        counts = generator.integers(1, 9, (ROWS, classes, classes)) + 9 * np.eye(classes)
        return np.zeros(ROWS, np.int64), counts.reshape(ROWS, -1)
    if metric.reads == "sentences":
        return np.zeros(ROWS, np.int64), generator.integers(1, 9, (ROWS, WIDTH)).astype(float)
    if metric.reads == "boxes":
        return np.zeros(ROWS, np.int64), detections(generator, classes)
    if metric.reads == "steps":
        return np.zeros(ROWS, np.int64), generator.integers(1, 9, (ROWS, 6)).astype(float)
    if metric.reads == "values":
        target = generator.normal(5.0, 2.0, ROWS)
        return target, target + generator.normal(size=ROWS)
    target = generator.permutation(np.arange(ROWS) % classes)
    logits = generator.normal(size=(ROWS, classes)) + np.eye(classes)[target]
    p = np.exp(np.round(logits))  # whole logits: ties
    p /= p.sum(axis=1, keepdims=True)
    p = np.round(p, 2) if classes == 2 else p
    return target, p.argmax(1) if metric.reads == "classes" else p


def detections(generator: np.random.Generator, classes: int) -> np.ndarray:
    """Statistics of rows with two boxes and five detections of different scores each."""
    found = np.zeros((ROWS, 3, DETECTIONS))
    found[:, :2] = -1
    found[:, 0, :5] = -np.sort(-generator.permutation(5 * ROWS).reshape(ROWS, 5)) / (5 * ROWS)
    found[:, 1, :5] = generator.integers(0, classes, (ROWS, 5))
    found[:, 2, :5] = 2 ** generator.integers(0, 11, (ROWS, 5)) - 1
    boxes = np.eye(classes)[generator.integers(0, classes, (ROWS, 2))].sum(axis=1) + 2
    return np.concatenate([found.reshape(ROWS, -1), boxes], axis=1)


def weightings(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (count, ROWS)).astype(float)


def scikit_learns(name: str, target: np.ndarray, given: np.ndarray, weight: np.ndarray) -> float:
    w: dict[str, Any] = {"sample_weight": weight}
    if name in ("auc", "average_precision") and given.shape[1] == 2:
        given = given[:, 1]
    found = {
        "accuracy": lambda: sk.accuracy_score(target, given, **w),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(target, given, **w),
        "macro_f1": lambda: sk.f1_score(target, given, average="macro", **w),
        "auc": lambda: sk.roc_auc_score(target, given, multi_class="ovr", **w),
        "average_precision": lambda: sk.average_precision_score(target, given, **w),
        "log_loss": lambda: sk.log_loss(target, given, **w),
        "rmse": lambda: sk.root_mean_squared_error(target, given, **w),
        "mae": lambda: sk.mean_absolute_error(target, given, **w),
        "r2": lambda: sk.r2_score(target, given, **w),
    }
    return float(found[name]())


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("metric", OF_ROWS.values(), ids=list(OF_ROWS))
def test_every_score_is_scikit_learns(metric: Metric, classes: int) -> None:
    target, given = rows(metric, classes)
    weights_RN = np.concatenate([weightings(20), np.random.default_rng(2).random((5, ROWS))])
    found = metric.score(target, given, weights_RN)
    assert found.shape == (25,)
    assert len(set(found)) > 20
    expected = [scikit_learns(metric.name, target, given, weight) for weight in weights_RN]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", METRICS)
def test_a_whole_weight_is_a_row_that_often(name: str, classes: int) -> None:
    metric = METRICS[name]
    target, given = rows(metric, classes, seed=3)
    for weight, found in zip(
        weightings(3), metric.score(target, given, weightings(3)), strict=True
    ):
        often = weight.astype(int)
        repeated = metric.plain(np.repeat(target, often), np.repeat(given, often, axis=0))
        assert found == pytest.approx(repeated)


@pytest.mark.parametrize("name", METRICS)
def test_a_score_does_not_depend_on_the_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = METRICS[name]
    target, given = rows(metric, 4)
    whole = metric.score(target, given, weightings(7))
    for largest in (1, 2 * ROWS):
        monkeypatch.setattr(weighing, "LARGEST", largest)
        assert metric.score(target, given, weightings(7)) == pytest.approx(whole, rel=1e-12)


def test_row_scores_average_to_the_score() -> None:
    by_row = {name for name, metric in METRICS.items() if metric.row_score is not None}
    assert by_row == {"accuracy", "log_loss", "mae"}
    for name in by_row:
        metric = METRICS[name]
        target, given = rows(metric, 3)
        row_score = metric.row_score
        assert row_score is not None
        average = np.average(row_score(target, given), weights=weightings(1)[0])
        assert metric.score(target, given, weightings(1))[0] == pytest.approx(average)


def two_classes(positive: list[float]) -> np.ndarray:
    return np.stack([1 - np.array(positive), positive], axis=1)


def test_auc_counts_a_tie_as_half() -> None:
    target, p = np.array([1, 1, 0, 0]), two_classes([0.8, 0.5, 0.5, 0.1])
    assert METRICS["auc"].plain(target, p) == 3.5 / 4
    assert METRICS["auc"].plain(target, two_classes([0.3] * 4)) == 0.5
    assert METRICS["auc"].plain(target, 1 - p) == 0.5 / 4


def test_average_precision_by_hand() -> None:
    target, p = np.array([1, 0, 1, 0]), two_classes([0.9, 0.5, 0.5, 0.1])
    # 0.9: recall ½ at precision 1; 0.5 and 0.5: recall 1 at precision ⅔
    assert METRICS["average_precision"].plain(target, p) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_more_than_two_classes_are_scored_each_against_the_rest() -> None:
    target = np.array([0, 0, 2, 2])  # no row of class 1
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]])
    of_0, of_2 = 3 / 4, (0.5 + 1 + 0 + 0) / 4
    assert METRICS["auc"].plain(target, p) == pytest.approx((of_0 + of_2) / 2)


@pytest.mark.parametrize(
    ("name", "target"),
    [("auc", [1, 0, 0, 1]), ("auc", [1, 0, 0, 0]), ("balanced_accuracy", [1, 0, 0, 0]),
     ("balanced_accuracy", [0, 1, 2, 2])],
)  # fmt: skip
def test_the_mean_over_all_bootstrap_draws_is_the_plain_score(name: str, target: list[int]) -> None:
    """Of all 4⁴ draws, those without a class among them."""
    draws = np.array(list(itertools.product(range(4), repeat=4)))
    weights_RN = (draws[:, :, None] == np.arange(4)).sum(axis=1).astype(float)
    metric = METRICS[name]
    p = two_classes([0.6, 0.7, 0.6, 0.2])
    given = p if metric.reads == "probabilities" else np.array([1, 0, 1, 2])
    plain = metric.plain(np.array(target), given)
    assert 0 < plain < 1
    scores = metric.score(np.array(target), given, weights_RN)
    assert scores.mean() == pytest.approx(plain, rel=1e-12)
    assert scores.std() > 0.05


def test_a_weighting_without_a_class_has_the_plain_score() -> None:
    target, p = np.array([1, 1, 0, 0]), two_classes([0.8, 0.4, 0.5, 0.1])
    weights_RN = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    assert METRICS["auc"].score(target, p, weights_RN).tolist() == [0.75, 0.75]
    plain = 0.5 + 0.5 * 2 / 3
    found = METRICS["average_precision"].score(target, p, weights_RN)
    assert found == pytest.approx([1.0, plain])  # all rows positive: every precision is 1


def test_macro_f1_of_a_class_without_weight_is_zero() -> None:
    target, predicted = np.array([0, 1]), np.array([0, 1])
    assert METRICS["macro_f1"].score(target, predicted, np.array([[1.0, 0.0]])) == [0.5]


def test_a_prediction_of_a_class_that_no_row_has_is_wrong() -> None:
    target, predicted = np.array([0, 0, 4, 4]), np.array([0, 2, 4, 9])
    assert METRICS["accuracy"].plain(target, predicted) == 0.5
    assert METRICS["balanced_accuracy"].plain(target, predicted) == 0.5
    assert METRICS["macro_f1"].plain(target, predicted) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("positive", "precision"), [(0, 0.0), (1, 1.0)])
def test_rows_of_one_class_have_an_auc_of_a_half_and_the_prevalence_as_precision(
    positive: int, precision: float
) -> None:
    target, p = np.full(3, positive), two_classes([0.2, 0.5, 0.9])
    assert METRICS["auc"].score(target, p, np.ones((2, 3))).tolist() == [0.5, 0.5]
    assert METRICS["average_precision"].plain(target, p) == precision


def test_a_wrong_certainty_costs_what_float32_can_tell() -> None:
    p = two_classes([0.0, 1.0]).astype(np.float32)
    found = METRICS["log_loss"].plain(np.array([1, 1]), p)
    assert found == pytest.approx(-np.log(LEAST_PROBABILITY) / 2)
    assert found == pytest.approx(sk.log_loss([1, 1], p, labels=[0, 1]), rel=1e-6)


def test_a_constant_target_is_explained_wholly_or_not_at_all() -> None:
    target = np.full(3, 0.5)
    for value, expected in ((np.full(3, 0.5), 1.0), (np.array([0.5, 0.5, 0.2]), 0.0)):
        assert METRICS["r2"].plain(target, value) == expected == sk.r2_score(target, value)
    # Also where the mean of equal numbers is not that number: scikit-learn says -2e31 here.
    assert METRICS["r2"].plain(np.full(3, 0.1), np.array([0.1, 0.1, 0.2])) == 0.0


def test_a_weighting_of_one_target_value_has_the_plain_r2() -> None:
    target, value = np.array([0.1, 0.1, 7.3]), np.array([0.0, 0.3, 6.3])
    plain = sk.r2_score(target, value)
    found = METRICS["r2"].score(target, value, np.array([[2.0, 1, 0], [0, 0, 3], [1, 0, 2]]))
    some = sk.r2_score(target, value, sample_weight=[1, 0, 2])
    assert found == pytest.approx([plain, plain, some])


def test_r2_holds_far_from_zero() -> None:
    target, value = rows(METRICS["r2"], 2)
    found = METRICS["r2"].score(target + 1e8, value + 1e8, weightings(5))
    assert found == pytest.approx(METRICS["r2"].score(target, value, weightings(5)), rel=1e-5)


@pytest.mark.parametrize("name", ["auc", "average_precision", "log_loss", "rmse", "mae", "r2"])
def test_predictions_that_are_not_finite_are_refused(name: str) -> None:
    target, given = rows(METRICS[name], 2)
    given[3] = np.nan
    with pytest.raises(TrainingError, match="those of 1 of 80 rows are not"):
        METRICS[name].plain(target, given)


def test_a_prediction_short_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="a prediction a row"):
        METRICS["accuracy"].plain(np.array([0, 1]), np.array([0]))
    with pytest.raises(AssertionError, match="a prediction a row, and a row at least"):
        METRICS["accuracy"].plain(np.array([], int), np.array([], int))
    with pytest.raises(AssertionError, match=r"\(2, 1\) values of \(2,\) targets"):
        METRICS["mae"].plain(np.array([0.0, 1.0]), np.array([[0.0], [1.0]]))


def test_signs_turn_errors_around() -> None:
    less = {name for name, metric in METRICS.items() if metric.sign < 0}
    assert less == {"log_loss", "rmse", "mae", "steps_rmse", "steps_mae"}
    for metric in OF_ROWS.values():
        target, given = rows(metric, 2)
        worse = given[::-1].copy()
        good, bad = metric.plain(target, given), metric.plain(target, worse)
        assert metric.sign * good > metric.sign * bad, metric.name


def test_a_metric_can_be_sent_to_another_process() -> None:
    target, given = rows(METRICS["auc"], 2)
    sent = pickle.loads(pickle.dumps(METRICS["auc"]))
    assert sent.plain(target, given) == METRICS["auc"].plain(target, given)


def test_no_score_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in METRICS.values():
            target, given = rows(metric, 2)
            metric.score(target, given, np.eye(ROWS))  # one row each


def test_a_margin_is_a_hundredth_or_per_cent_of_the_targets_spread() -> None:
    assert margin_of(METRICS["accuracy"], 1.0) == 0.01
    assert margin_of(METRICS["r2"], 2.0) == 0.02
    assert margin_of(METRICS["log_loss"], 1.0) == 0.01
    assert margin_of(METRICS["rmse"], 2.0, target_std=50.0) == pytest.approx(1.0)
    assert margin_of(METRICS["mae"], 1.0, target_std=0.5) == pytest.approx(0.005)


@pytest.mark.parametrize("std", [0.0, float("nan")])
def test_a_constant_target_has_no_margin(std: float) -> None:
    with pytest.raises(DataError, match="standard deviation, which must be > 0"):
        margin_of(METRICS["rmse"], 1.0, target_std=std)
    with pytest.raises(AssertionError, match="mae is in the target's unit"):
        margin_of(METRICS["mae"], 1.0)
