"""Predictions of a saved model on one split."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raytl.config import TASK_FACTS, DomainConfig, TaskName
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.models.source_folder import CompleteModel, load_complete_model, matched_columns
from raytl.tasks.base import Task
from raytl.training.evaluation import Evaluation, evaluate
from raytl.training.readers import Prepared, Reader, Readers
from raytl.urls import Place


@dataclass(frozen=True)
class Prediction:
    """`rows` hold what `columns` name: id, predicted class and its probability; id and predicted
    value; or id and what else the `task` says, as `Task.encoded` has it. `metrics`: of the rows
    that have a target, none where no row has one. `note`: why rows were not judged, where they
    might have been."""

    task: TaskName
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    metrics: Mapping[str, float]
    note: str | None = None


@dataclass(frozen=True)
class Predictor:
    """A saved model and the data that it reads. `judged`: whether rows have a target that suits."""

    complete: CompleteModel
    domain: Domain
    readers: Readers
    device: torch.device

    @classmethod
    def open(cls, model: Path, dataset: Place, device: str = "cpu") -> "Predictor":
        """Load a model and open a dataset. Raises ModelError where the model has no head, or reads
        columns that the data has not."""
        complete = load_complete_model(model)
        task, data = complete.task, Dataset.open(dataset)
        domain = Domain.to_predict(
            DomainConfig(dataset=dataset), data, lambda column: task.mismatch(column) is None
        )
        columns = matched_columns(model, complete.spec, domain.columns)
        by_branch: dict[str, Reader] = {
            name: Prepared(columns[name], part)
            for name, part in complete.model.named_branches.items()
        }
        place = torch.device(device)
        complete.model.to(place)
        readers = Readers(Domains(domain, None), by_branch, place, task)
        return cls(complete, domain, readers, place)

    @property
    def judged(self) -> bool:
        return bool(self.domain.target)

    @property
    def measured(self) -> list[str]:
        """The names of what is measured of rows that have a target."""
        task = self.complete.task
        return list(dict.fromkeys((task.primary, *task.shown[:1])))

    def predict(
        self, split: str, indices: np.ndarray | None = None, names: Collection[str] = ()
    ) -> Evaluation:
        """Predict the rows `indices` of a split, or all, in stored order; measure `names`."""
        feed = self.readers.feed(
            self.domain, split, indices=indices, labelled=self.judged, batch_size=256, seed=0,
            kind="resident",
        )  # fmt: skip
        task = self.complete.task
        return evaluate(
            self.complete.model,
            task,
            feed,
            self.device,
            names=names,
            encoded="numbers" not in task.gives,
        )

    def table(self, found: Evaluation) -> dict[str, list[Any]]:
        """Return what a person reads of predictions: columns by name."""
        said = found.predictions
        task = self.complete.task
        if "numbers" not in task.gives:
            return {"id": said.id_N.tolist(), TASK_FACTS[task.name].answer: list(found.answers)}
        ids, predicted = said.id_N.tolist(), said.given("classes").tolist()
        if "values" in self.complete.task.gives:
            return {"id": ids, "predicted": predicted}
        classes = self.complete.spec.classes
        assert classes is not None
        p_N = said.given("probabilities").max(1).tolist()
        return {"id": ids, "predicted": [classes[k] for k in predicted], "probability": p_N}


def predict_split(model: Path, dataset: Place, split: str) -> Prediction:
    """Predict every row of `split` in stored order. A target is not needed: rows are judged by the
    column that suits the model's task, if there is such a column and no other.

    Raises as `Predictor.open`.
    """
    predictor = Predictor.open(model, dataset)
    found = predictor.predict(split, names=predictor.measured)
    table = predictor.table(found)
    task, data = predictor.complete.task, predictor.domain.dataset
    note = None if predictor.judged else _why_not(task, data)
    rows = list(zip(*table.values(), strict=True))
    return Prediction(task.name, tuple(table), rows, found.metrics, note)


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
