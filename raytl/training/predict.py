"""Predictions of a saved model on one split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raytl.config import DomainConfig
from raytl.data.domain import Domain, Domains
from raytl.errors import ModelError
from raytl.models.source_model import load_complete_model
from raytl.predictions import Predictions
from raytl.tasks.base import Task
from raytl.training.evaluation import evaluate
from raytl.training.readers import Prepared, Readers


@dataclass(frozen=True)
class Prediction:
    """`rows` hold what `columns` name: id, predicted class and its probability, or id and predicted
    value. `metrics`: of the rows that have a target, none where no row has one."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    metrics: Mapping[str, float]


def predict_split(model: Path, dataset: Path, split: str) -> Prediction:
    """Predict every row of `split` in stored order.

    Raises ModelError where the model has no head, or predicts something else than the data's
    target.
    """
    complete = load_complete_model(model)
    domain = Domain.open(DomainConfig(dataset=dataset))
    task = complete.task
    wrong = task.mismatch(domain.target_column)
    if wrong is not None:
        raise ModelError(f"{model} does not predict column {domain.target} of {dataset}: {wrong}")
    readers = Readers(
        Domains(domain, None),
        {name: Prepared(name, branch) for name, branch in complete.model.named_branches.items()},
    )
    feed = readers.feed(domain, split, indices=None, labelled=True, batch_size=256, seed=0)
    names = list(dict.fromkeys((task.primary, *task.shown[:1])))
    found = evaluate(complete.model, task, feed, torch.device("cpu"), names=names)
    columns, rows = _table(task, found.predictions, complete.spec.classes)
    return Prediction(columns, rows, found.metrics)


def _table(
    task: Task, said: Predictions, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    ids, predicted = said.id_N.tolist(), said.predicted_N.tolist()
    if "values" in task.gives:
        return ("id", "predicted"), list(zip(ids, predicted, strict=True))
    assert classes is not None
    names, p = [classes[k] for k in predicted], said.given("probabilities").max(1).tolist()
    return ("id", "predicted", "probability"), list(zip(ids, names, p, strict=True))
