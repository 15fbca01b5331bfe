"""Means and standard errors by hand."""

import math

import pytest

from raytl.sweeping.verdict.statistics import mean_and_standard_error


def test_mean_and_standard_error_by_hand() -> None:
    mean, error = mean_and_standard_error([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert error == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(mean_and_standard_error([1.0])[1])
