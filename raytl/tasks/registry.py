"""Every task, by the kind of its target column."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from raytl.modalities.column import Column
from raytl.tasks.base import Targets, Task
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn


def task_of(column: Column, targets: Targets) -> Task:
    """Return the task that a target column asks for. What has to be fitted is fitted to `targets`,
    those of labelled training rows."""
    assert isinstance(column, LabelColumn)
    return Classification(column)


def stored_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` was taken of. Raises ValueError, a sentence, where the
    facts are none."""
    kind = facts.get("kind")
    if kind != Classification.name:
        raise ValueError(f"unknown kind '{kind}'; known: {Classification.name}")
    try:
        column = LabelColumn.model_validate({"classes": facts.get("classes")})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return Classification(column)
