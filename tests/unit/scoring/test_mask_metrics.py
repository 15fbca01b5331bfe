"""Scores of masks against scikit-learn's of their pixels, and hand counts."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from raytl.scoring.mask_metrics import all_right, one_answer
from raytl.scoring.metrics import METRICS

ROWS, PIXELS = 12, 40


def masks(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of each row's pixels, (N, P); the last class is in two rows."""
    generator = np.random.default_rng(0)
    target_NP = generator.integers(0, classes, (ROWS, PIXELS))
    target_NP[2:] %= classes - 1 if classes > 2 else classes
    wrong_NP = generator.random((ROWS, PIXELS)) < 0.4
    return target_NP, np.where(wrong_NP, generator.integers(0, classes, wrong_NP.shape), target_NP)


def counts(target_NP: np.ndarray, said_NP: np.ndarray, classes: int) -> np.ndarray:
    pairs = [
        np.bincount(t * classes + s, minlength=classes**2)
        for t, s in zip(target_NP, said_NP, strict=True)
    ]
    return np.array(pairs, dtype=np.float64)


SCIKIT_LEARNS: dict[str, Callable[..., float]] = {
    "miou": lambda t, s, w: sk.jaccard_score(t, s, average="macro", sample_weight=w),
    "dice": lambda t, s, w: sk.f1_score(t, s, average="macro", sample_weight=w),
    "pixel_accuracy": lambda t, s, w: sk.accuracy_score(t, s, sample_weight=w),
}


@pytest.mark.parametrize("name", SCIKIT_LEARNS)
def test_scores_are_scikit_learns_of_all_pixels(name: str) -> None:
    target_NP, said_NP = masks(4)
    weights_RN = np.random.default_rng(1).integers(1, 4, (5, ROWS)).astype(float)
    found = METRICS[name].score(np.zeros(ROWS), counts(target_NP, said_NP, 4), weights_RN)
    for score, weight_N in zip(found, weights_RN, strict=True):
        of_pixels = np.repeat(weight_N, PIXELS)
        wanted = SCIKIT_LEARNS[name](target_NP.reshape(-1), said_NP.reshape(-1), of_pixels)
        assert score == pytest.approx(wanted)


def test_of_two_classes_dice_is_of_the_second() -> None:
    target_NP, said_NP = masks(2)
    found = METRICS["dice"].plain(np.zeros(ROWS), counts(target_NP, said_NP, 2))
    assert found == pytest.approx(sk.f1_score(target_NP.reshape(-1), said_NP.reshape(-1)))


def test_a_class_that_a_draw_leaves_out_counts_as_it_does_in_all_rows() -> None:
    target_NP, said_NP = masks(4)
    given, weight_N = counts(target_NP, said_NP, 4), np.ones(ROWS)
    weight_N[:2] = 0  # no row with the last class is left
    target, said = target_NP[2:].reshape(-1), said_NP[2:].reshape(-1)
    own = sk.jaccard_score(target, said, average=None, labels=range(3))
    plain = sk.jaccard_score(target_NP.reshape(-1), said_NP.reshape(-1), average=None)[3]
    found = METRICS["miou"].score(np.zeros(ROWS), given, weight_N[None])
    assert found[0] == pytest.approx((own.sum() + plain) / 4)


def test_a_class_without_a_pixel_in_any_row_has_no_part() -> None:
    counts_N4 = np.array([[3.0, 1.0, 0.0, 0.0]])  # class 1 is said once and is nowhere
    assert METRICS["miou"].plain(np.zeros(1), counts_N4) == 3 / 4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("said", "score"), [(0.0, 1.0), (1.0, 0.0)])
def test_without_a_pixel_of_the_foreground_dice_is_whether_none_was_said(
    said: float, score: float
) -> None:
    counts_N4 = np.array([[3.0, said, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    weights_RN = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert METRICS["dice"].score(np.zeros(2), counts_N4, weights_RN).tolist() == [score] * 2


def test_the_best_and_the_constant_answer_to_the_same_pixels() -> None:
    given = np.array([[3.0, 1.0, 2.0, 4.0], [5.0, 0.0, 0.0, 1.0]])
    assert all_right(given).tolist() == [[4.0, 0.0, 0.0, 6.0], [5.0, 0.0, 0.0, 1.0]]
    assert one_answer(given).tolist() == [[4.0, 0.0, 6.0, 0.0], [5.0, 0.0, 1.0, 0.0]]
