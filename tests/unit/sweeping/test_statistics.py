"""Paired differences against SciPy and by hand."""

import math

import pytest
from scipy import stats

from raytl.sweeping.statistics import (
    mean_and_standard_error,
    paired_difference,
    verdict_sentence,
)


def test_mean_and_standard_error_by_hand() -> None:
    mean, error = mean_and_standard_error([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert error == pytest.approx(1 / math.sqrt(3))


def test_interval_is_scipys_paired_t() -> None:
    a, b = [0.91, 0.93, 0.90, 0.95], [0.85, 0.90, 0.86, 0.88]
    ours = paired_difference(a, b, 0.95)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert ours.interval == pytest.approx((theirs.low, theirs.high))
    assert ours.kind == "helps"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([0.9, 0.91], [0.5, 0.51], "helps: +40.0 ± 0.0 points over training from scratch"),
        ([0.5, 0.51], [0.9, 0.91], "hurts (negative transfer): -40.0"),
        ([0.5, 0.9], [0.9, 0.5], "no difference that 2 seeds can show"),
    ],
)
def test_verdict_in_words(a: list[float], b: list[float], words: str) -> None:
    assert words in verdict_sentence("transfer from x", "scratch", paired_difference(a, b, 0.95))
