"""Scores, and amounts of them, as a person reads them."""

import math

from raytl.scoring.metrics import Metric

MOST_DECIMALS = 12
WHOLE = 1e15  # float64 has fifteen digits that hold


def named(metric: Metric) -> str:
    """Return how a metric is called within a sentence."""
    return metric.words.partition(",")[0]


def unit_of(metric: Metric) -> str:
    """Return the unit of a metric's differences with what they are of, as they stand behind a
    number, no blank before it: nothing for what is in the target's own unit."""
    if metric.name == "accuracy":
        return f" {metric.unit}"
    if metric.mode == "max":
        return f" {metric.unit} of {named(metric)}"
    return f" {metric.unit}" if metric.unit else ""


def number(value: float, metric: Metric, half: float | None = None) -> str:
    """Return an amount as it is shown, already times the metric's `scale`: points with as many
    decimals as the first digit of `half`, an interval's half width, needs, one at least; errors
    with as many as its first two (or, without one, three digits of the value itself) need."""
    if metric.mode == "max":
        return f"{value:.{_decimals(half or 1.0, digits=1, least=1)}f}"
    digits, size = (2, half) if half else (3, abs(value))
    if not (math.isfinite(size) and size > 0):
        return f"{value:g}"
    return f"{value:,.{_decimals(size, digits)}f}"


def value_text(value: float) -> str:
    """Return a value of one row, as a target or a table's field holds it: six digits, and all that
    stand before the point."""
    return f"{value:.0f}" if 1e5 <= abs(value) < WHOLE else f"{value:.6g}"


def _decimals(size: float, digits: int, least: int = 0) -> int:
    """Return how many decimals the first digits of a size need."""
    if not math.isfinite(size):
        return least
    return min(max(digits - 1 - math.floor(math.log10(size)), least), MOST_DECIMALS)


def score_text(value: float, metric: Metric) -> str:
    """Return a score as it is shown: a share in per cent, R² in points, an error in its unit."""
    shown = number(metric.scale * value, metric)
    if metric.mode == "min":
        return f"{shown}{unit_of(metric)}"
    return f"{shown} %" if metric.name != "r2" else f"{shown} {metric.unit}"
