"""Means and standard errors over seeds."""

import math
from collections.abc import Sequence


def mean_and_standard_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and s / √n with the sample standard deviation s (n - 1); NaN for n = 1."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return mean, math.sqrt(variance / n)
