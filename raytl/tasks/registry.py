"""Every task, by its name; a target column says which it asks for."""

from collections.abc import Iterable, Mapping
from typing import Any

from raytl.config import TaskName, task_kind
from raytl.modalities.column import Column, Values
from raytl.tasks.base import Task
from raytl.tasks.classification import Classification
from raytl.tasks.detection import Detection
from raytl.tasks.forecasting import Forecasting
from raytl.tasks.regression import Regression
from raytl.tasks.segmentation import Segmentation
from raytl.tasks.translation import Translation

TASKS: dict[TaskName, type[Task]] = {
    "classification": Classification,
    "regression": Regression,
    "segmentation": Segmentation,
    "detection": Detection,
    "translation": Translation,
    "forecasting": Forecasting,
}


def task_of(column: Column, parts: Iterable[Values]) -> Task:
    """Return the task that a target column asks for. What has to be fitted is fitted to the targets
    of labelled training rows, which come in `parts`. Raises DataError where they do not do."""
    assert column.task is not None, f"{column.kind} is no target"
    return TASKS[column.task].fitted(column, parts)


def stored_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` was taken of. Raises ValueError, a sentence, where the
    facts are none."""
    return TASKS[task_kind(facts)].stored(facts)
