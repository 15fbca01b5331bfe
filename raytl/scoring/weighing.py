"""Scores of rows under many weightings at once, in bounded memory.

Legend: R weightings, N rows. A weighting is the counts of a bootstrap draw, or ones for the plain
score; an integer weight is a row that is there so many times. Its sum is positive.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Scorer = Callable[[Floats], Floats]  # weights_RN → scores (R,)

LARGEST = 2**20  # weights looked at at a time: 8 MiB, and a few arrays as large beside them


def weighted_mean(row_N: Floats) -> Scorer:
    """Return the scorer Σ w·row / Σ w."""
    return lambda weights_RN: weights_RN @ row_N / weights_RN.sum(axis=1)


def ratio(above_R: Floats, below_R: Floats) -> Floats:
    """Return above / below, NaN where below is not positive."""
    return np.divide(above_R, below_R, out=np.full_like(above_R, np.nan), where=below_R > 0)


def or_plain(scorer: Scorer, rows: int, undefined: float) -> Scorer:
    """Return `scorer`, but with the plain score of all rows where it says NaN, and `undefined`
    where the plain score is NaN too.

    A bootstrap draw may leave out all rows of a class. Given that both classes were drawn, the mean
    of a resampled AUC or recall is the plain one; with the plain one in the other draws too, it
    stays so, where 0 or 0.5 would pull the bootstrap's mean and widen its spread.
    """
    plain = float(scorer(np.ones((1, rows)))[0])
    plain = undefined if np.isnan(plain) else plain

    def score(weights_RN: Floats) -> Floats:
        score_R = scorer(weights_RN)
        return np.where(np.isnan(score_R), plain, score_R)

    return score


def in_chunks(scorer: Scorer, weights_RN: Floats) -> Floats:
    """Return the scores, (R,), looking at LARGEST weights at a time, or at one weighting."""
    chunk = max(1, LARGEST // weights_RN.shape[1])
    starts = range(0, len(weights_RN), chunk)
    return np.concatenate([scorer(weights_RN[start : start + chunk]) for start in starts])
