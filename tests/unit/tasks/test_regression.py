"""A value a row: fitted scale, loss, predictions, what is measured."""

import re

import numpy as np
import pytest
import torch

from raytl.errors import DataError
from raytl.predictions import Predictions
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.registry import stored_task, task_of
from raytl.tasks.regression import Regression
from raytl.tasks.steps_column import StepsColumn

TASK = Regression(ValueColumn(), mean=10.0, std=2.0)


def test_it_is_fitted_to_the_rows_that_have_a_value() -> None:
    task = task_of(ValueColumn(nulls=True), [np.array([8.0, np.nan, 12.0, np.nan])])
    assert isinstance(task, Regression)
    assert (task.mean, task.std, task.out_dim) == (10.0, 2.0, 1)
    assert task.gives == {"values", "numbers"} and task.primary == "rmse"


@pytest.mark.parametrize(
    ("targets", "text"),
    [([3.0, 3.0], "2 rows are all alike"), ([np.nan], "0 rows are none at all"), ([], "none at")],
)
def test_values_that_are_all_alike_are_refused(targets: list[float], text: str) -> None:
    with pytest.raises(DataError, match=f"two different target values .*{text}"):
        task_of(ValueColumn(nulls=True), [np.array(targets)])


@pytest.mark.parametrize("rows", [7, 100])
def test_values_are_alike_also_where_rounding_gives_them_a_deviation(rows: int) -> None:
    values = np.full(rows, 1234.567)
    assert values.std() > 0
    with pytest.raises(DataError, match="are all alike"):
        task_of(ValueColumn(), [values])
    with pytest.raises(DataError, match="are all alike"):
        task_of(StepsColumn(horizon=2, channel="x", season=1), [np.tile(values[:, None], 2)])


@pytest.mark.parametrize("unit", [1e300, 1e-200])
def test_values_without_squares_are_refused(unit: float) -> None:
    for column, values in (
        (ValueColumn(), unit * np.arange(1, 9)),
        (StepsColumn(horizon=2, channel="x", season=1), unit * np.arange(1, 9).reshape(4, 2)),
    ):
        with pytest.raises(DataError, match=re.escape(f"from {unit:g} to {8 * unit:g}; give")):
            task_of(column, [values])


def test_the_loss_is_the_squared_error_in_standard_deviations() -> None:
    loss = TASK.loss(torch.tensor([[0.0], [1.0], [-1.0]]), torch.tensor([10.0, 14.0, 10.0]))
    assert loss.tolist() == [0.0, 1.0, 1.0]


def test_a_prediction_is_in_the_targets_unit_also_where_it_is_large() -> None:
    said = Regression(ValueColumn(), mean=1e9, std=1.0).predict(torch.tensor([[0.5], [-0.25]]))
    assert said.p_BK is None
    assert said.answer.tolist() == [1e9 + 0.5, 1e9 - 0.25]  # float32 steps by 64 there


def test_the_best_constant_is_the_mean() -> None:
    task = task_of(ValueColumn(nulls=True), [np.array([11.0, 13.0, np.nan])])
    out = task.constant_out()
    assert task.predict(out[None]).answer.tolist() == [12.0]
    grid = torch.linspace(-2, 2, 101)[:, None]
    losses = [task.loss(o.expand(2, 1), torch.tensor([11.0, 13.0])).mean() for o in grid]
    assert grid[int(torch.stack(losses).argmin())].item() == pytest.approx(out.item(), abs=0.021)


def predictions(target: list[float], value: list[float]) -> Predictions:
    return Predictions(np.arange(len(target)), np.array(target), np.array(value))


def test_what_is_measured_by_hand() -> None:
    found = TASK.measure(predictions([0.0, 2.0], [1.0, 2.0]))
    assert found["rmse"] == pytest.approx(np.sqrt(0.5))
    assert found["mae"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(0.5)
    assert found["residuals"] == {"rows": 2, "bias": 0.5, "spread": 0.5, "least": 0.0, "most": 1.0}
    assert found["error_quantiles"]["50"] == pytest.approx(0.5)
    assert set(found) == {"rmse", "mae", "r2", "residuals", "error_quantiles"}


def test_rows_without_a_value_are_left_out_and_nothing_is_said_of_none() -> None:
    found = TASK.measure(predictions([0.0, np.nan, 2.0], [1.0, 99.0, 2.0]), ["mae"])
    assert found == {"mae": 0.5}
    assert TASK.measure(predictions([np.nan], [1.0])) == {}


def test_what_is_stored_is_the_task_again() -> None:
    again = stored_task(TASK.facts())
    assert isinstance(again, Regression) and (again.mean, again.std) == (10.0, 2.0)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"kind": "regression", "mean": 1.0}, "mean and std must be numbers"),
        ({"kind": "regression", "mean": 1.0, "std": 0.0}, "std > 0"),
        ({"kind": "ranking"}, "unknown kind 'ranking'; known: classification, regression"),
    ],
)
def test_facts_that_are_none_are_refused(facts: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        stored_task(facts)


def test_it_does_not_learn_from_classes() -> None:
    assert TASK.mismatch(ValueColumn()) is None
    wrong = TASK.mismatch(LabelColumn(classes=("a", "b")))
    assert wrong == "it asks for values, and the other for a label"
