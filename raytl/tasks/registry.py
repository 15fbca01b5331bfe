"""Every task, by the kind of its target column."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from raytl.modalities.column import Column
from raytl.tasks.base import Targets, Task
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.regression import Regression


def task_of(column: Column, targets: Targets) -> Task:
    """Return the task that a target column asks for. What has to be fitted is fitted to `targets`,
    those of labelled training rows. Raises DataError where they do not do."""
    if isinstance(column, ValueColumn):
        return Regression.fitted(column, targets)
    assert isinstance(column, LabelColumn)
    return Classification.fitted(column, targets)


def stored_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` was taken of. Raises ValueError, a sentence, where the
    facts are none."""
    kind = facts.get("kind")
    if kind not in STORED:
        raise ValueError(f"unknown kind '{kind}'; known: {', '.join(STORED)}")
    return STORED[kind](facts)


def _stored_classification(facts: Mapping[str, Any]) -> Task:
    try:
        column = LabelColumn.model_validate({"classes": facts.get("classes")})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return Classification(column)


def _stored_regression(facts: Mapping[str, Any]) -> Task:
    numbers = [facts.get(name) for name in ("mean", "std")]
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(
            f"mean and std must be numbers, got {numbers[0]!r:.40}, {numbers[1]!r:.40}"
        )
    return Regression(ValueColumn(), *map(float, numbers))  # type: ignore[arg-type]


STORED: dict[str, Callable[[Mapping[str, Any]], Task]] = {
    Classification.name: _stored_classification,
    Regression.name: _stored_regression,
}
