"""The metric where none is named; class weights; figures of residuals."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from raytl.scoring.choosing import auto_metric
from raytl.scoring.classification import class_weights
from raytl.scoring.metrics import METRICS
from raytl.scoring.regression import absolute_error_quantiles, residuals


def test_classes_are_judged_by_accuracy() -> None:
    assert auto_metric([90, 10]) == ("accuracy", None)  # 10 % is not rare yet
    assert auto_metric([1, 98, 1]) == ("accuracy", None)  # of two classes only


def test_a_rare_positive_class_is_judged_by_average_precision() -> None:
    name, reason = auto_metric([968, 32])
    assert name == "average_precision"
    assert reason == (
        "the metric is average_precision, as class 1 is rare (3.2 % of the labelled rows): "
        "accuracy would be 96.8 for always saying 0"
    )


def test_a_rare_negative_class_is_judged_by_auc() -> None:
    name, reason = auto_metric([5, 95])
    assert name == "auc" and reason is not None
    assert "class 0 is rare (5.0 %" in reason and "always saying 1" in reason


def test_every_chosen_metric_is_known() -> None:
    for counts in ([50, 50], [99, 1], [1, 99], [10, 10, 10]):
        assert auto_metric(counts)[0] in METRICS


def test_without_a_labelled_row_no_metric_is_chosen() -> None:
    with pytest.raises(AssertionError, match="a labelled row"):
        auto_metric([0, 0])


def test_class_weights_are_scikit_learns() -> None:
    counts = [10, 30, 60]
    labels = np.repeat(range(3), counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights(counts)
    assert found == pytest.approx(expected)
    assert found[labels].mean() == pytest.approx(1.0)
    assert found * counts == pytest.approx([100 / 3] * 3)  # each class weighs the same


def test_a_class_without_a_row_weighs_nothing() -> None:
    assert class_weights([2, 0, 6]).tolist() == pytest.approx([2.0, 0.0, 2 / 3])
    for counts in ([0, 0], [3, -1]):
        with pytest.raises(AssertionError, match="counts of rows"):
            class_weights(counts)


def test_residuals_split_the_error_into_bias_and_spread() -> None:
    target, value = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 3.0, 3.0])
    left = residuals(target, value)
    assert (left.rows, left.bias, left.least, left.most) == (4, 0.5, -1.0, 2.0)
    assert left.spread == pytest.approx(np.sqrt(1.25))
    rmse = METRICS["rmse"].plain(target, value)
    assert rmse**2 == pytest.approx(left.bias**2 + left.spread**2)


def test_quantiles_of_absolute_errors() -> None:
    error = np.arange(101.0) * np.where(np.arange(101) % 2, 1, -1)
    found = absolute_error_quantiles(np.zeros(101), error)
    assert found == pytest.approx({10: 10.0, 50: 50.0, 90: 90.0, 95: 95.0})
