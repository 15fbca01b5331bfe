"""Scores of predicted values.

Legend: R weightings, N rows.
"""

import numpy as np

from raytl.scoring.weighing import Floats, Scorer, or_plain, ratio, weighted_mean

CONSTANT = 1e-10  # share of the spread below which a weighting's targets count as one value


def residual(target_N: Floats, value_N: Floats) -> Floats:
    """Return value - target of each row, in the target's unit."""
    assert value_N.shape == target_N.shape, f"{value_N.shape} values of {target_N.shape} targets"
    return np.asarray(value_N, np.float64) - target_N


def absolute_error(target_N: Floats, value_N: Floats) -> Floats:
    """Return |value - target| of each row, in the target's unit."""
    return np.abs(residual(target_N, value_N))


def squared_error(target_N: Floats, value_N: Floats) -> Floats:
    """Return (value - target)² of each row, in the target's unit squared."""
    return residual(target_N, value_N) ** 2


def root_mean_squared_error(target_N: Floats, value_N: Floats) -> Scorer:
    """√(Σ w (value - target)² / Σ w), in the target's unit."""
    mean = weighted_mean(squared_error(target_N, value_N))
    return lambda weights_RN: np.sqrt(mean(weights_RN))


def r_squared(target_N: Floats, value_N: Floats) -> Scorer:
    """1 - Σ w (value - target)² / Σ w (target - weighted mean)²; at most 1, 0 for the mean.

    Of a weighting whose targets are one value: the plain score. Where all targets are one value: 1
    if every value is right, else 0, as scikit-learn has it.
    """
    error_N = squared_error(target_N, value_N)
    from_mean_N = target_N - target_N.mean() if np.ptp(target_N) > 0 else np.zeros_like(target_N)

    def score(weights_RN: Floats) -> Floats:
        around_R = weights_RN @ from_mean_N**2
        spread_R = around_R - (weights_RN @ from_mean_N) ** 2 / weights_RN.sum(axis=1)
        spread_R[spread_R <= CONSTANT * around_R] = 0.0
        return 1 - ratio(weights_RN @ error_N, spread_R)

    return or_plain(score, len(target_N), undefined=0.0 if error_N.any() else 1.0)
