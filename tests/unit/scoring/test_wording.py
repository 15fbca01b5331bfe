"""Scores and amounts as a person reads them."""

import pytest

from raytl.scoring.metrics import METRICS
from raytl.scoring.wording import named, number, score_text, unit_of, value_text


@pytest.mark.parametrize(
    ("name", "score", "text"),
    [
        ("accuracy", 0.9234, "92.3 %"),
        ("auc", 0.5, "50.0 %"),
        ("r2", -0.031, "-3.1 points"),
        ("log_loss", 0.34567, "0.346 nats"),
        ("rmse", 1234.567, "1,235"),
        ("mae", 0.0012345, "0.00123"),
        ("mae", 0.0, "0"),
    ],
)
def test_scores(name: str, score: float, text: str) -> None:
    assert score_text(score, METRICS[name]) == text


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (3.21, 1.13, "3.2"),
        (0.02345, 0.00087, "0.02345"),
        (3212.4, 250.0, "3,212"),
        (2.0, 0.0, "2.00"),
    ],
)
def test_an_amount_of_errors_has_the_digits_that_its_interval_can_tell(
    value: float, half: float, text: str
) -> None:
    assert number(value, METRICS["rmse"], half) == text


def test_points_have_the_decimals_that_their_interval_can_tell() -> None:
    halves = (8.9, 0.96, 0.03, 0.0, None)
    shown = [number(1.2345, METRICS["auc"], half) for half in halves]
    assert shown == ["1.2", "1.2", "1.23", "1.2", "1.2"]


def test_units_say_what_points_are_of_and_leave_no_blank_behind() -> None:
    units = {name: unit_of(metric) for name, metric in METRICS.items()}
    assert units["accuracy"] == " points"
    assert units["macro_f1"] == " points of macro F1"
    assert units["r2"] == " points of R²"
    assert units["log_loss"] == " nats"
    assert units["rmse"] == units["mae"] == ""
    assert named(METRICS["rmse"]) == "root mean squared error"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (-1234.5678, "-1234.57"), (123456.0, "123456"), (1609459200.4, "1609459200"),
     (2e-7, "2e-07"), (1e300, "1e+300"), (float("nan"), "nan")],
)  # fmt: skip
def test_values_have_six_digits_and_all_before_the_point(value: float, text: str) -> None:
    assert value_text(value) == text
