"""Scores of forecasts, over all steps of all rows together.

Legend: R weightings, N rows, H steps. `statistics_NM`, M = 2 + H: of each row Σ e² and Σ |e| of its
errors, then its targets as they are: from sums of their squares little would be left where they are
far from 0 and near one another. A bootstrap draws rows, never steps, which are not independent.
"""

import numpy as np

from raytl.scoring.value_metrics import CONSTANT
from raytl.scoring.weighing import Floats, Ints, Scorer, or_plain, ratio, weighted_mean

SQUARED, ABSOLUTE, ERRORS = range(3)  # ERRORS: how many columns come before the targets


def targets_of(statistics_NM: Floats) -> Floats:
    """Return the rows' targets, (N, H)."""
    return statistics_NM[:, ERRORS:]


def steps_rmse(target_N: Ints, statistics_NM: Floats) -> Scorer:
    """√(Σ w e² / Σ w H), in the target's unit."""
    mean = weighted_mean(statistics_NM[:, SQUARED] / targets_of(statistics_NM).shape[1])
    return lambda weights_RN: np.sqrt(mean(weights_RN))


def steps_mae(target_N: Ints, statistics_NM: Floats) -> Scorer:
    """Σ w |e| / Σ w H, in the target's unit."""
    return weighted_mean(statistics_NM[:, ABSOLUTE] / targets_of(statistics_NM).shape[1])


def steps_r2(target_N: Ints, statistics_NM: Floats) -> Scorer:
    """1 - Σ w e² over the targets' squared distances from their mean; see `r_squared`."""
    squared_N, target_NH = statistics_NM[:, SQUARED], targets_of(statistics_NM)
    away_NH = target_NH - target_NH.mean() if np.ptp(target_NH) > 0 else np.zeros_like(target_NH)
    away_N, away_squared_N = away_NH.sum(axis=1), (away_NH**2).sum(axis=1)
    horizon = target_NH.shape[1]

    def score(weights_RN: Floats) -> Floats:
        around_R = weights_RN @ away_squared_N
        spread_R = around_R - (weights_RN @ away_N) ** 2 / (weights_RN.sum(axis=1) * horizon)
        spread_R[spread_R <= CONSTANT * around_R] = 0.0
        return 1 - ratio(weights_RN @ squared_N, spread_R)

    return or_plain(score, len(statistics_NM), undefined=0.0 if squared_N.any() else 1.0)


def spread(statistics_NM: Floats) -> float:
    """Return the standard deviation of all rows' targets."""
    return float(targets_of(statistics_NM).std())


def all_right(statistics_NM: Floats) -> Floats:
    """Return the statistics of the same rows without any error."""
    right_NM = statistics_NM.copy()
    right_NM[:, [SQUARED, ABSOLUTE]] = 0.0
    return right_NM


def one_answer(statistics_NM: Floats) -> Floats:
    """Return the statistics of the same rows, each step answered with the targets' mean."""
    said_NM, target_NH = statistics_NM.copy(), targets_of(statistics_NM)
    error_NH = target_NH - target_NH.mean()
    said_NM[:, SQUARED] = (error_NH**2).sum(axis=1)
    said_NM[:, ABSOLUTE] = np.abs(error_NH).sum(axis=1)
    return said_NM
