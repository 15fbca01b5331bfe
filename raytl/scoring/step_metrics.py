"""Scores of forecasts, over all steps of all rows together, from sums of each row.

Legend: R weightings, N rows. `sums_NM`, M = 6: of each row the number of steps, Σ e² and Σ |e| of
its errors, and Σ d, Σ d² and Σ |d| of its targets' distances from one number, the same in all rows.
A bootstrap draws rows, never steps, which are not independent.
"""

import numpy as np

from raytl.scoring.value_metrics import CONSTANT
from raytl.scoring.weighing import Floats, Ints, Scorer, or_plain, ratio

STEPS, SQUARED, ABSOLUTE, AWAY, AWAY_SQUARED, AWAY_ABSOLUTE = range(6)


def steps_rmse(target_N: Ints, sums_NM: Floats) -> Scorer:
    """√(Σ w e² / Σ w steps), in the target's unit."""
    return lambda weights_RN: np.sqrt(
        weights_RN @ sums_NM[:, SQUARED] / (weights_RN @ sums_NM[:, STEPS])
    )


def steps_mae(target_N: Ints, sums_NM: Floats) -> Scorer:
    """Σ w |e| / Σ w steps, in the target's unit."""
    return lambda weights_RN: weights_RN @ sums_NM[:, ABSOLUTE] / (weights_RN @ sums_NM[:, STEPS])


def steps_r2(target_N: Ints, sums_NM: Floats) -> Scorer:
    """1 - Σ w e² over the targets' squared distances from their mean; see `r_squared`."""

    def score(weights_RN: Floats) -> Floats:
        sums_RM = weights_RN @ sums_NM
        around_R = sums_RM[:, AWAY_SQUARED]
        spread_R = around_R - sums_RM[:, AWAY] ** 2 / sums_RM[:, STEPS]
        spread_R[spread_R <= CONSTANT * around_R] = 0.0
        return 1 - ratio(sums_RM[:, SQUARED], spread_R)

    return or_plain(score, len(sums_NM), undefined=0.0 if sums_NM[:, SQUARED].any() else 1.0)


def spread(sums_NM: Floats) -> float:
    """Return the standard deviation of all rows' targets."""
    total_M = sums_NM.sum(axis=0)
    mean, square = total_M[[AWAY, AWAY_SQUARED]] / total_M[STEPS]
    return float(np.sqrt(max(0.0, square - mean**2)))


def all_right(sums_NM: Floats) -> Floats:
    """Return the sums of the same rows without any error."""
    right_NM = sums_NM.copy()
    right_NM[:, [SQUARED, ABSOLUTE]] = 0.0
    return right_NM


def one_answer(sums_NM: Floats) -> Floats:
    """Return the sums of the same rows, each step answered with the targets' mean; absolute errors
    are from the number that distances are taken from, which is near it."""
    said_NM = sums_NM.copy()
    total_M = sums_NM.sum(axis=0)
    mean = total_M[AWAY] / total_M[STEPS]
    squared_N = sums_NM[:, AWAY_SQUARED] - 2 * mean * sums_NM[:, AWAY] + mean**2 * sums_NM[:, STEPS]
    said_NM[:, SQUARED] = squared_N.clip(min=0.0)
    said_NM[:, ABSOLUTE] = sums_NM[:, AWAY_ABSOLUTE]
    return said_NM
