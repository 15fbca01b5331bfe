"""Numbers: fitted to training rows, scaled for a network.

Legend: N rows, Q quantiles.
"""

from typing import Literal

import numpy as np
from scipy.special import ndtri

from raytl.config import Frozen
from raytl.config.base import Finite, NonNegative

Scaling = Literal["standard", "quantile"]
STANDARD_LIMIT = 10.0  # standard deviations: what lies farther out is clipped
QUANTILE_LIMIT = float(ndtri(1 - 1e-7))  # 5.2; as scikit-learn's QuantileTransformer
# Gorishniy et al. 2021, supplement: a quantile for 30 rows, 10 at least and 1,000 at most
ROWS_A_QUANTILE, FEWEST, MOST = 30, 10, 1000


class NumberFacts(Frozen):
    """A number's field as training rows have it. `scale` 0: constant or never there, so that it
    tells nothing and becomes 0 in every row, also where other rows have other values."""

    name: str
    median: Finite
    mean: Finite
    scale: NonNegative
    quantiles: tuple[Finite, ...] = ()  # of scaling by quantiles alone, ascending


def fit_number(name: str, values_N: np.ndarray, scaling: Scaling) -> NumberFacts:
    """Fit to the values that are there; float64 (N,), NaN where one is missing."""
    there = values_N[~np.isnan(values_N)]
    low, high = (there.min(), there.max()) if len(there) else (0.0, 0.0)
    if low == high:
        return NumberFacts(name=name, median=float(low), mean=float(low), scale=0.0)
    unit = max(abs(low), abs(high))  # sums of values near float64's greatest would overflow
    units = there / unit
    quantiles = _quantiles(units) * unit if scaling == "quantile" else np.empty(0)
    return NumberFacts(
        name=name,
        median=float(np.median(units) * unit),
        mean=float(units.mean() * unit),
        scale=float(units.std() * unit),
        quantiles=tuple(quantiles.tolist()),
    )


def _quantiles(values_N: np.ndarray) -> np.ndarray:
    count = min(max(len(values_N) // ROWS_A_QUANTILE, FEWEST), MOST)
    quantiles_Q = np.quantile(values_N, np.linspace(0, 1, count))
    return np.maximum.accumulate(quantiles_Q)  # rounding may have put two the wrong way round


def scaled(facts: NumberFacts, values_N: np.ndarray) -> np.ndarray:
    """Return values (N,), none of them missing, as a network reads them, float64.

    - standard: (x - mean) / standard deviation, clipped to ±10;
    - quantile: the share of training rows below x, as a normal variable: Φ⁻¹, clipped to ±5.2
      (Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data", sec. 4.2).
      Deviation: they add noise before fitting, which parts ties; here ties take the middle of
      their shares, the least and the greatest value too.
    """
    if facts.scale == 0:
        return np.zeros(len(values_N))
    if facts.quantiles:
        share = _share_below(np.array(facts.quantiles), values_N)
        return np.clip(ndtri(share), -QUANTILE_LIMIT, QUANTILE_LIMIT)
    with np.errstate(over="ignore"):  # what becomes infinite is clipped
        away = (values_N - facts.mean) / facts.scale
    return np.clip(away, -STANDARD_LIMIT, STANDARD_LIMIT)


def _share_below(quantiles_Q: np.ndarray, values_N: np.ndarray) -> np.ndarray:
    shares_Q = np.linspace(0, 1, len(quantiles_Q))
    last = np.interp(values_N, quantiles_Q, shares_Q)
    first = -np.interp(-values_N, -quantiles_Q[::-1], -shares_Q[::-1])
    return (last + first) / 2
