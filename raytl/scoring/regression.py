"""Figures of predicted values, for a report.

Legend: N rows.
"""

from dataclasses import dataclass

import numpy as np

from raytl.scoring.value_metrics import absolute_error, residual
from raytl.scoring.weighing import Floats

PERCENTS = (10, 50, 90, 95)


@dataclass(frozen=True)
class Residuals:
    """What is left of the targets: value - target over N rows, in the target's unit.

    `bias` is their mean, positive where values are too high; `spread` their standard deviation
    (over N, so that RMSE² = bias² + spread²); `least` and `most` the largest misses each way.
    """

    rows: int
    bias: float
    spread: float
    least: float
    most: float


def residuals(target_N: Floats, value_N: Floats) -> Residuals:
    """Return a summary of the residuals of N >= 1 rows."""
    left_N = residual(target_N, value_N)
    mean, spread = float(left_N.mean()), float(left_N.std())
    return Residuals(len(left_N), mean, spread, float(left_N.min()), float(left_N.max()))


def absolute_error_quantiles(target_N: Floats, value_N: Floats) -> dict[int, float]:
    """Return per cent → the absolute error that so many per cent of the N >= 1 rows do not exceed,
    in the target's unit, for each of PERCENTS; between rows it is interpolated."""
    quantiles = np.percentile(absolute_error(target_N, value_N), PERCENTS)
    return {p: float(error) for p, error in zip(PERCENTS, quantiles, strict=True)}
