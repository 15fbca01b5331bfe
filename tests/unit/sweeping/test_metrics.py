"""Scores on weighted rows against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from raytl.scoring.metrics import METRICS


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_scores_are_scikit_learns(name: str) -> None:
    generator = np.random.default_rng(0)
    target, predicted = generator.integers(0, 4, (2, 60))
    predicted[:3] = 7  # a class that no row has
    weights = generator.integers(0, 3, (5, 60)).astype(float)
    found = METRICS[name].score(target, predicted, weights)
    macro = {"average": "macro", "labels": range(4)}
    for score, weight in zip(found, weights, strict=True):
        theirs = {
            "accuracy": accuracy_score(target, predicted, sample_weight=weight),
            "macro_f1": f1_score(target, predicted, sample_weight=weight, **macro),
        }
        assert score == pytest.approx(theirs[name])


def test_row_scores_average_to_the_score() -> None:
    generator = np.random.default_rng(1)
    target, predicted = generator.integers(0, 4, (2, 60))
    weights = generator.integers(0, 3, (1, 60)).astype(float)
    for metric in METRICS.values():
        if metric.reads == "classes" and metric.row_score is not None:
            average = np.average(metric.row_score(target, predicted), weights=weights[0])
            assert metric.score(target, predicted, weights)[0] == pytest.approx(average)


def test_class_without_weight_scores_zero() -> None:
    target, predicted = np.array([0, 1]), np.array([0, 1])
    assert METRICS["macro_f1"].score(target, predicted, np.array([[1.0, 0.0]])) == [0.5]
