"""Scores, and amounts of them, as a person reads them."""

import math

from raytl.scoring.metrics import Metric

MOST_DECIMALS = 12


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
    """Return an amount as it is shown, already times the metric's `scale`: points with one decimal,
    errors with as many as two digits of `half`, an interval's half width, need (or, without one,
    three digits of the value itself)."""
    if metric.mode == "max":
        return f"{value:.1f}"
    digits, size = (2, half) if half else (3, abs(value))
    if not (math.isfinite(size) and size > 0):
        return f"{value:g}"
    decimals = digits - 1 - math.floor(math.log10(size))
    return f"{value:,.{min(max(decimals, 0), MOST_DECIMALS)}f}"


def score_text(value: float, metric: Metric) -> str:
    """Return a score as it is shown: a share in per cent, R² in points, an error in its unit."""
    shown = number(metric.scale * value, metric)
    if metric.mode == "min":
        return f"{shown}{unit_of(metric)}"
    return f"{shown} %" if metric.name != "r2" else f"{shown} {metric.unit}"
