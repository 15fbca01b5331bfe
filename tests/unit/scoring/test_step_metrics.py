"""Scores of forecasts against scikit-learn's of all steps."""

import numpy as np
import pytest
from sklearn import metrics as sk

from raytl.scoring.metrics import METRICS
from raytl.scoring.step_metrics import all_right, one_answer, spread

ROWS, HORIZON = 12, 4
generator = np.random.default_rng(0)
TARGET_NH = generator.normal(50, 3, (ROWS, HORIZON))
SAID_NH = TARGET_NH + generator.normal(0, 2, (ROWS, HORIZON))


def sums(said_NH: np.ndarray, target_NH: np.ndarray, around: float = 47.0) -> np.ndarray:
    error, away = said_NH - target_NH, target_NH - around
    parts = (np.ones_like(error), error**2, abs(error), away, away**2, abs(away))
    return np.stack([part.sum(axis=1) for part in parts], axis=1)


SCIKIT_LEARNS = {
    "steps_rmse": sk.root_mean_squared_error,
    "steps_mae": sk.mean_absolute_error,
    "steps_r2": sk.r2_score,
}


@pytest.mark.parametrize("name", SCIKIT_LEARNS)
def test_scores_are_scikit_learns_of_all_steps_under_any_weighting(name: str) -> None:
    weights_RN = np.random.default_rng(1).integers(1, 4, (5, ROWS)).astype(float)
    found_R = METRICS[name].score(np.zeros(ROWS), sums(SAID_NH, TARGET_NH), weights_RN)
    for found, weight_N in zip(found_R, weights_RN, strict=True):
        of_steps = np.repeat(weight_N, HORIZON)
        wanted = SCIKIT_LEARNS[name](
            TARGET_NH.reshape(-1), SAID_NH.reshape(-1), sample_weight=of_steps
        )
        assert found == pytest.approx(wanted)


def test_answers_that_are_right_and_one_answer_to_all() -> None:
    given = sums(SAID_NH, TARGET_NH)
    np.testing.assert_allclose(all_right(given), sums(TARGET_NH, TARGET_NH))
    mean = np.full_like(TARGET_NH, TARGET_NH.mean())
    of_mean = sums(mean, TARGET_NH)
    np.testing.assert_allclose(one_answer(given)[:, :2], of_mean[:, :2])
    assert METRICS["steps_r2"].plain(np.zeros(ROWS), one_answer(given)) == pytest.approx(0.0)


def test_the_spread_is_the_targets_standard_deviation() -> None:
    assert spread(sums(SAID_NH, TARGET_NH)) == pytest.approx(TARGET_NH.std())
