"""Predictions of a saved model on one split."""

from dataclasses import dataclass
from pathlib import Path

import torch

from raytl.config import DomainConfig
from raytl.data.domain import Domain, Domains
from raytl.errors import ModelError
from raytl.models.source_model import load_complete_model, matched_columns
from raytl.training.evaluation import evaluate
from raytl.training.readers import Prepared, Readers


@dataclass(frozen=True)
class Prediction:
    """`rows` are (id, predicted class, its probability)."""

    rows: list[tuple[int, str, float]]
    accuracy: float


def predict_split(model: Path, dataset: Path, split: str) -> Prediction:
    """Predict every row of `split` in stored order.

    Raises ModelError where the model has no head, predicts something else than the data's target,
    or reads columns that the data has not.
    """
    complete = load_complete_model(model)
    domain = Domain.open(DomainConfig(dataset=dataset))
    wrong = complete.task.mismatch(domain.target_column)
    if wrong is not None:
        raise ModelError(f"{model} does not predict column {domain.target} of {dataset}: {wrong}")
    columns = matched_columns(model, complete.spec, domain.columns)
    branches = complete.model.named_branches
    readers = Readers(
        Domains(domain, None), {n: Prepared(columns[n], branch) for n, branch in branches.items()}
    )
    feed = readers.feed(domain, split, indices=None, labelled=True, batch_size=256, seed=0)
    found = evaluate(complete.model, complete.task, feed, torch.device("cpu"))
    said, classes = found.predictions, complete.spec.classes
    assert said.p_NK is not None and classes is not None
    names = [classes[k] for k in said.predicted_N.tolist()]
    rows = zip(said.id_N.tolist(), names, said.p_NK.max(1).tolist(), strict=True)
    return Prediction(list(rows), found.metrics["accuracy"])
