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


def statistics(said_NH: np.ndarray, target_NH: np.ndarray) -> np.ndarray:
    error = said_NH - target_NH
    errors = [(error**2).sum(axis=1), abs(error).sum(axis=1)]
    return np.concatenate([np.stack(errors, axis=1), target_NH], axis=1)


SCIKIT_LEARNS = {
    "steps_rmse": sk.root_mean_squared_error,
    "steps_mae": sk.mean_absolute_error,
    "steps_r2": sk.r2_score,
}


@pytest.mark.parametrize("name", SCIKIT_LEARNS)
def test_scores_are_scikit_learns_of_all_steps_under_any_weighting(name: str) -> None:
    weights_RN = np.random.default_rng(1).integers(1, 4, (5, ROWS)).astype(float)
    found_R = METRICS[name].score(np.zeros(ROWS), statistics(SAID_NH, TARGET_NH), weights_RN)
    for found, weight_N in zip(found_R, weights_RN, strict=True):
        of_steps = np.repeat(weight_N, HORIZON)
        wanted = SCIKIT_LEARNS[name](
            TARGET_NH.reshape(-1), SAID_NH.reshape(-1), sample_weight=of_steps
        )
        assert found == pytest.approx(wanted)


def test_answers_that_are_right_and_one_answer_to_all() -> None:
    given = statistics(SAID_NH, TARGET_NH)
    np.testing.assert_allclose(all_right(given), statistics(TARGET_NH, TARGET_NH))
    mean = np.full_like(TARGET_NH, TARGET_NH.mean())
    of_mean = statistics(mean, TARGET_NH)
    np.testing.assert_allclose(one_answer(given), of_mean)
    assert METRICS["steps_r2"].plain(np.zeros(ROWS), one_answer(given)) == pytest.approx(0.0)


def test_the_spread_is_the_targets_standard_deviation() -> None:
    assert spread(statistics(SAID_NH, TARGET_NH)) == pytest.approx(TARGET_NH.std())


@pytest.mark.parametrize("name", SCIKIT_LEARNS)
def test_targets_that_are_far_from_zero_keep_their_digits(name: str) -> None:
    target_NH = 1e9 + np.random.default_rng(2).choice([-1.0, 1.0], (ROWS, HORIZON))
    said_NH = target_NH + np.random.default_rng(3).choice([-0.5, 0.0, 0.25], (ROWS, HORIZON))
    given, weight_N = statistics(said_NH, target_NH), np.arange(1.0, ROWS + 1)
    shifted = [of.reshape(-1) - 1e9 for of in (target_NH, said_NH)]
    wanted = SCIKIT_LEARNS[name](*shifted, sample_weight=np.repeat(weight_N, HORIZON))
    found = METRICS[name].score(np.zeros(ROWS), given, weight_N[None])[0]
    assert found == pytest.approx(wanted, rel=1e-9)
    assert spread(given) == pytest.approx(shifted[0].std(), rel=1e-9)


def test_targets_of_one_value_have_no_spread_to_explain() -> None:
    target_NH = np.full((ROWS, HORIZON), 0.1)
    right, wrong = statistics(target_NH, target_NH), statistics(target_NH + 1, target_NH)
    assert METRICS["steps_r2"].plain(np.zeros(ROWS), right) == 1.0
    assert METRICS["steps_r2"].plain(np.zeros(ROWS), wrong) == 0.0
