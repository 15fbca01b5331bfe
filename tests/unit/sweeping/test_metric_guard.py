"""The two rows that keep the rows' variance above zero, by what a metric reads."""

import numpy as np
import pytest

from raytl.predictions import Predictions
from raytl.scoring.box_metrics import DETECTIONS, all_found, nothing_found
from raytl.scoring.metrics import METRICS
from raytl.scoring.sentence_metrics import CHARACTERS, MATCHES, WIDTH, all_right
from raytl.sweeping.verdict.guard import with_discordant_rows
from raytl.sweeping.verdict.intervals import paired_difference

ROWS = np.arange(6)
P_N = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
TARGET_N = np.array([0, 0, 0, 1, 1, 1])


def of_classes(p_N: np.ndarray, target_N: np.ndarray = TARGET_N) -> Predictions:
    p_NK = np.stack([1 - p_N, p_N], axis=1)
    return Predictions(np.arange(len(p_N)), target_N, p_NK.argmax(axis=1), p_NK)


def of_values(value_N: np.ndarray, target_N: np.ndarray) -> Predictions:
    return Predictions(np.arange(len(target_N)), target_N, value_N)


def of_pixels(counts: list[list[float]]) -> Predictions:
    rows = len(counts)
    return Predictions(
        np.arange(rows), np.zeros(rows, np.int64), None, statistics_NM=np.array(counts)
    )


def of_boxes(found: list[int], boxes: int = 2) -> Predictions:
    """Rows of `boxes` true boxes each, of which so many are found, among as many detections."""
    statistics = np.zeros((len(found), 3 * DETECTIONS + 1))
    statistics[:, : 2 * DETECTIONS] = -1
    for row, count in enumerate(found):
        statistics[row, :boxes] = 0.9 - np.arange(boxes) / 10
        statistics[row, DETECTIONS : DETECTIONS + boxes] = 0
        statistics[row, 2 * DETECTIONS : 2 * DETECTIONS + count] = 1023
    statistics[:, -1] = boxes
    return of_pixels(statistics.tolist())


def test_the_wrong_boxes_are_those_of_a_middling_row_that_errs() -> None:
    ours, theirs = of_boxes([2, 2, 1, 0]), of_boxes([2, 1, 1, 0])
    (better,), (worse,) = with_discordant_rows(METRICS["map"], [ours], [theirs], np.arange(4))
    wrong = of_boxes([1]).given("boxes")
    right = all_found(wrong)
    assert (better.given("boxes")[4:] == np.concatenate([right, wrong])).all()
    assert (worse.given("boxes")[4:] == np.concatenate([wrong, right])).all()
    perfect = of_boxes([2, 2])
    (better,), _ = with_discordant_rows(METRICS["map"], [perfect], [perfect], np.arange(2))
    assert (better.given("boxes")[3:] == nothing_found(wrong)).all()


def test_the_wrong_mask_is_the_runs_mean_row_and_the_right_one_its_best() -> None:
    ours = of_pixels([[8.0, 2.0, 0.0, 0.0], [4.0, 0.0, 2.0, 4.0]])
    theirs = of_pixels([[6.0, 4.0, 0.0, 0.0], [4.0, 0.0, 2.0, 4.0]])
    (better,), (worse,) = with_discordant_rows(METRICS["miou"], [ours], [theirs], np.arange(2))
    wrong, right = [5.5, 1.5, 1.0, 2.0], [7.0, 0.0, 0.0, 3.0]
    assert better.given("pixels")[2:].tolist() == [right, wrong]
    assert worse.given("pixels")[2:].tolist() == [wrong, right]
    assert better.target_N.tolist() == [0] * 4


def test_right_and_wrong_are_what_a_run_says_to_its_median_rows() -> None:
    ours, theirs = with_discordant_rows(
        METRICS["auc"], [of_classes(P_N)], [of_classes(P_N**2)], ROWS
    )
    assert ours[0].target_N[-2:].tolist() == [0, 1]
    assert ours[0].given("probabilities")[-2:, 1].tolist() == [0.2, 0.2]  # right, then wrong
    assert theirs[0].given("probabilities")[-2:, 1] == pytest.approx([0.49, 0.49])
    assert ours[0].group_N is not None and ours[0].group_N.tolist() == list(range(8))


@pytest.mark.parametrize("classes", [2, 3])
def test_test_rows_of_the_last_class_alone_are_compared(classes: int) -> None:
    target_N = np.full(6, classes - 1)
    p_NK = np.full((6, classes), 0.1)
    p_NK[:, -1] = 1 - 0.1 * (classes - 1)
    run = Predictions(np.arange(6), target_N, p_NK.argmax(axis=1), p_NK)
    found = paired_difference(METRICS["log_loss"], [run] * 3, [run] * 3, 0.95)
    assert found.difference == 0 and 0 < found.half_width < np.inf


def test_a_constant_run_goes_half_of_the_way_to_certainty() -> None:
    constant = of_classes(np.full(6, 0.4))
    ours, theirs = with_discordant_rows(METRICS["log_loss"], [constant], [constant], ROWS)
    assert ours[0].given("probabilities")[-2:, 1] == pytest.approx([0.2, 0.2])
    assert theirs[0].given("probabilities")[-2:, 1] == pytest.approx([0.7, 0.7])


def test_wrong_values_are_off_by_the_runs_own_error() -> None:
    target_N = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    runs = [of_values(target_N + off, target_N) for off in (1.0, 7.0)]
    ours, theirs = with_discordant_rows(METRICS["rmse"], runs[:1], runs[1:], np.arange(5))
    assert ours[0].target_N[-2:].tolist() == [3.0, 3.0]
    assert ours[0].predicted_N[-2:].tolist() == [3.0, 8.0]  # √((1 + 49) / 2)
    assert theirs[0].predicted_N[-2:].tolist() == [8.0, 3.0]
    exact = of_values(target_N, target_N)
    ours, _ = with_discordant_rows(METRICS["mae"], [exact], [exact], np.arange(5))
    assert ours[0].predicted_N[-1] == pytest.approx(3 + np.sqrt(2))  # the targets' spread


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("good", [True, False])
def test_runs_that_agree_on_every_row_leave_a_width(name: str, good: bool) -> None:
    generator = np.random.default_rng(0)
    if METRICS[name].reads == "values":
        target_N = generator.normal(size=50)
        run = of_values(target_N * good, target_N)
    elif METRICS[name].reads == "pixels":
        right = generator.integers(1, 50, (50, 2)).astype(float)
        kept = right * (1.0 if good else 0.6)
        gone = right - kept
        run = of_pixels(np.stack([kept[:, 0], gone[:, 0], gone[:, 1], kept[:, 1]], 1).tolist())
    elif METRICS[name].reads == "steps":
        away_NH = generator.normal(0, 1, (50, 3))
        error_NH = away_NH * (0.0 if good else 0.6)
        errors = np.stack([(error_NH**2).sum(1), abs(error_NH).sum(1)], 1)
        run = of_pixels(np.concatenate([errors, away_NH], 1).tolist())
    elif METRICS[name].reads == "sentences":
        counts_NM = generator.integers(8, 30, (50, WIDTH)).astype(float)
        counts_NM = all_right(counts_NM)
        counts_NM[:, MATCHES] *= 1.0 if good else 0.6
        counts_NM[:, CHARACTERS.start + 2 :: 3] *= 1.0 if good else 0.6
        run = of_pixels(counts_NM.tolist())
    elif METRICS[name].reads == "boxes":
        run = of_boxes([2 if good else 1] * 50)
    else:
        target_N = generator.integers(0, 2, 50)
        run = of_classes(
            np.where(target_N == 1, 0.99, 0.01) if good else np.full(50, 0.3), target_N
        )
    found = paired_difference(METRICS[name], [run] * 3, [run] * 3, 0.95)
    assert found.difference == 0.0
    assert 1e-3 < found.half_width < 0.5


@pytest.mark.parametrize("name", ["auc", "log_loss", "rmse", "mae"])
def test_the_guard_adds_little_where_rows_differ(name: str) -> None:
    """With 1,000 rows that differ anyway, two more tell next to nothing."""
    generator = np.random.default_rng(1)
    if METRICS[name].reads == "values":
        target_N = generator.normal(size=1000)
        runs = [of_values(target_N + generator.normal(0, 0.5, 1000), target_N) for _ in range(6)]
    else:
        target_N = generator.integers(0, 2, 1000)
        logits = [1.5 * (2 * target_N - 1) + generator.normal(0, 1.5, 1000) for _ in range(6)]
        runs = [of_classes(1 / (1 + np.exp(-logit)), target_N) for logit in logits]
    guarded = paired_difference(METRICS[name], runs[:3], runs[3:], 0.95)
    plain = paired_difference(METRICS[name], [runs[0]] * 3, [runs[0]] * 3, 0.95)
    assert plain.row_variance < 0.06 * (guarded.row_variance + guarded.shared_variance)


def test_one_row_of_ten_positive_widens_the_interval_as_few_positive_rows_do() -> None:
    generator = np.random.default_rng(2)
    widths = []
    for positive in (50, 10):
        target_N = (np.arange(100) < positive).astype(np.int64)
        logits = [1.5 * (2 * target_N - 1) + generator.normal(0, 1.5, 100) for _ in range(6)]
        runs = [of_classes(1 / (1 + np.exp(-logit)), target_N) for logit in logits]
        widths.append(paired_difference(METRICS["auc"], runs[:3], runs[3:], 0.95).row_variance)
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("horizon", [1, 3])
def test_where_no_forecast_errs_wrong_is_off_by_the_targets_spread(horizon: int) -> None:
    target_NH = np.random.default_rng(0).normal(1e6, 2.0, (50, horizon))
    run = of_pixels(np.concatenate([np.zeros((50, 2)), target_NH], axis=1).tolist())
    ours, theirs = with_discordant_rows(METRICS["steps_rmse"], [run], [run], np.arange(50))
    of_ours, of_theirs = (runs[0].given("steps")[-2:, 0] / horizon for runs in (ours, theirs))
    assert of_ours.tolist() == [0.0, pytest.approx(target_NH.var())]
    assert of_theirs.tolist() == of_ours[::-1].tolist()
