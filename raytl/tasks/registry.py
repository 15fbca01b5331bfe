"""Every task, by the kind of its target column."""

from collections.abc import Mapping
from typing import Any

from raytl.modalities.column import Column
from raytl.tasks.base import Targets, Task
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.regression import Regression

TASKS: dict[str, type[Task]] = {
    LabelColumn.model_fields["kind"].default: Classification,
    ValueColumn.model_fields["kind"].default: Regression,
}


def task_type(column: Column) -> type[Task]:
    """Return what kind of task a target column asks for."""
    return TASKS[column.kind]


def task_of(column: Column, targets: Targets) -> Task:
    """Return the task that a target column asks for. What has to be fitted is fitted to `targets`,
    those of labelled training rows. Raises DataError where they do not do."""
    if isinstance(column, ValueColumn):
        return Regression.fitted(column, targets)
    assert isinstance(column, LabelColumn)
    return Classification.fitted(column, targets)


def stored_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` was taken of. Raises ValueError, KeyError or TypeError
    where the facts are none."""
    kind = facts["kind"]
    if kind == Classification.name:
        return Classification(LabelColumn(classes=tuple(facts["classes"])))
    if kind == Regression.name:
        return Regression(ValueColumn(), float(facts["mean"]), float(facts["std"]))
    raise ValueError(f"kind must be {Classification.name} or {Regression.name}, got {kind!r:.40}")
