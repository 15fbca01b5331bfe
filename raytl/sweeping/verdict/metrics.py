"""Scores of predictions on weighted test rows. R weightings, N rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _correct(target_N: Ints, predicted_N: Ints) -> Floats:
    return (target_N == predicted_N).astype(np.float64)


def _accuracy(target_N: Ints, predicted_N: Ints, weights_RN: Floats) -> Floats:
    return weights_RN @ _correct(target_N, predicted_N) / weights_RN.sum(axis=1)


def _macro_f1(target_N: Ints, predicted_N: Ints, weights_RN: Floats) -> Floats:
    """The mean of 2·TP / (2·TP + FP + FN) over the classes that a row has as its target; 0 for one
    that a weighting leaves without a row and without a prediction."""
    classes, target_N = np.unique(target_N, return_inverse=True)
    place_N = np.searchsorted(classes, predicted_N).clip(max=len(classes) - 1)
    known_N = classes[place_N] == predicted_N
    hit_N = known_N & (place_N == target_N)

    def counts(of_N: Ints, where_N: NDArray[np.bool_]) -> Floats:
        rows = np.flatnonzero(where_N)
        shape = (len(where_N), len(classes))
        member_NK = csr_array((np.ones(len(rows)), (rows, of_N[rows])), shape=shape)
        return np.asarray(weights_RN @ member_NK)

    hits_RK = counts(target_N, hit_N)
    sizes_RK = counts(target_N, np.ones_like(hit_N)) + counts(place_N, known_N)
    return np.asarray(np.mean(2 * hits_RK / np.where(sizes_RK > 0, sizes_RK, 1), axis=1))


@dataclass(frozen=True)
class Metric:
    """A score of predicted against true classes.

    `score(target_N, predicted_N, weights_RN)` returns the R scores of R weightings of the rows:
    the counts of a bootstrap draw, or ones for the plain score. `row_score(target_N, predicted_N)`
    is there where the score is the weighted mean of one number a row. A score is shown times
    `scale`, in `unit`.
    """

    name: str
    mode: Literal["max", "min"]
    scale: float
    unit: str
    score: Callable[[Ints, Ints, Floats], Floats]
    row_score: Callable[[Ints, Ints], Floats] | None = None

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "max", 100.0, "points", _accuracy, _correct),
        Metric("macro_f1", "max", 100.0, "points", _macro_f1),
    )
}
