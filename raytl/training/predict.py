"""Predictions of a saved model on one split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raytl.config import DomainConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.models.source_model import load_complete_model, matched_columns
from raytl.predictions import Predictions
from raytl.tasks.base import Task
from raytl.training.evaluation import evaluate
from raytl.training.readers import Prepared, Readers
from raytl.urls import Place


@dataclass(frozen=True)
class Prediction:
    """`rows` hold what `columns` name: id, predicted class and its probability, or id and predicted
    value. `metrics`: of the rows that have a target, none where no row has one. `note`: why rows
    were not judged, where they might have been."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    metrics: Mapping[str, float]
    note: str | None = None


def predict_split(model: Path, dataset: Place, split: str) -> Prediction:
    """Predict every row of `split` in stored order. A target is not needed: rows are judged by the
    column that suits the model's task, if there is such a column and no other.

    Raises ModelError where the model has no head, or reads columns that the data has not.
    """
    complete = load_complete_model(model)
    task, data = complete.task, Dataset.open(dataset)
    domain = Domain.to_predict(
        DomainConfig(dataset=dataset), data, lambda column: task.mismatch(column) is None
    )
    columns = matched_columns(model, complete.spec, domain.columns)
    branches = complete.model.named_branches
    readers = Readers(
        Domains(domain, None), {n: Prepared(columns[n], branch) for n, branch in branches.items()}
    )
    judged = bool(domain.target)
    feed = readers.feed(domain, split, indices=None, labelled=judged, batch_size=256, seed=0)
    names = list(dict.fromkeys((task.primary, *task.shown[:1])))
    found = evaluate(complete.model, task, feed, torch.device("cpu"), names=names)
    headings, rows = _table(task, found.predictions, complete.spec.classes)
    return Prediction(headings, rows, found.metrics, None if judged else _why_not(task, data))


def _why_not(task: Task, data: Dataset) -> str | None:
    """Return why nothing is judged although there are targets."""
    wrong = {name: task.mismatch(data.columns[name]) for name in data.targets}
    fit = [name for name, why in wrong.items() if why is None]
    if fit:
        return f"not judged: {', '.join(fit)} could each be what the model predicts"
    if wrong:
        reasons = (f"{why} (column {name})" for name, why in wrong.items())
        return f"not judged: of what the model predicts, {'; '.join(reasons)}"
    return None


def _table(
    task: Task, said: Predictions, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    ids, predicted = said.id_N.tolist(), said.predicted_N.tolist()
    if "values" in task.gives:
        return ("id", "predicted"), list(zip(ids, predicted, strict=True))
    assert classes is not None
    names, p = [classes[k] for k in predicted], said.given("probabilities").max(1).tolist()
    return ("id", "predicted", "probability"), list(zip(ids, names, p, strict=True))
