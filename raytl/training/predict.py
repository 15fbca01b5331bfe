"""Predictions of a saved model on one split."""

from dataclasses import dataclass
from pathlib import Path

import torch

from raytl.data.dataset import Dataset
from raytl.data.feed import make_feed
from raytl.errors import ModelError
from raytl.models.source_model import load_complete_model
from raytl.training.inputs import input_transform


@dataclass(frozen=True)
class Prediction:
    """`rows` are (id, predicted class, its probability)."""

    rows: list[tuple[int, str, float]]
    accuracy: float


@torch.inference_mode()
def predict_split(model: Path, dataset: Path, split: str) -> Prediction:
    """Predict every row of `split` in stored order.

    Raises ModelError where the model has no head, or another number of classes than the data.
    """
    network, spec = load_complete_model(model)
    data = Dataset.open(dataset)
    if spec.classes is None or len(spec.classes) != len(data.classes):
        known = "no classes" if spec.classes is None else f"{len(spec.classes)} classes"
        raise ModelError(f"{model}: has {known}, but {dataset} has {len(data.classes)}")
    transform = input_transform(spec)
    network.eval()
    rows: list[tuple[int, str, float]] = []
    correct = 0
    feed = make_feed(data, split, indices=None, labelled=True, batch_size=256, seed=0)
    for batch in feed.eval_batches():
        assert batch.y is not None
        probability, predicted = network(transform(batch.x)).logits.softmax(1).max(1)
        correct += int((predicted == batch.y).sum())
        names = [spec.classes[k] for k in predicted.tolist()]
        rows += zip(batch.id.tolist(), names, probability.tolist(), strict=True)
    return Prediction(rows, correct / len(rows))
