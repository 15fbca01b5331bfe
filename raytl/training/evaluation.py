"""Evaluation of a model on one pass over a feed.

Legend: B batch, N rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from raytl.data.feed import Feed
from raytl.models.transfer_model import TransferModel
from raytl.predictions import Predictions
from raytl.ranks import WHOLE, all_rows, own_share
from raytl.tasks.base import Predicted, Task


@dataclass(frozen=True)
class Evaluation:
    """What one pass gives. `loss`: the mean of the task's over the rows. `metrics`: all that the
    task measures, by name."""

    loss: float
    predictions: Predictions  # of all rows, in the feed's order
    metrics: dict[str, Any]

    @property
    def rows(self) -> int:
        """How many rows were evaluated."""
        return len(self.predictions.id_N)


@torch.inference_mode()
def evaluate(
    model: TransferModel, task: Task, feed: Feed, device: torch.device, *, of_source: bool = False
) -> Evaluation:
    """Evaluate in eval mode; the model's mode is put back afterwards. Several workers evaluate
    their shares and all get all. `of_source`: the rows are the source domain's."""
    # Not every network takes a batch without a row: where rows are few, each worker takes all.
    share = own_share() if feed.rows >= own_share().ranks else WHOLE
    was_training = model.training
    model.eval()
    seen: list[tuple[torch.Tensor, ...]] = []
    for batch in feed.eval_batches(share=share):
        assert batch.target is not None
        on_device = batch.to(device)
        out = model(on_device.inputs, num_source=len(batch.id) if of_source else 0).out
        assert on_device.target is not None
        said = task.predict(out)
        row = (batch.id.to(device), on_device.target, task.loss(out, on_device.target))
        seen.append((*row, *_tensors(said)))
    model.train(was_training)
    every = [torch.cat(parts) for parts in zip(*seen, strict=True)]
    if share != WHOLE:
        every = [all_rows(part, feed.rows) for part in every]
    id_N, target_N, loss_N, predicted_N, *p_NK = (part.cpu().numpy() for part in every)
    predictions = Predictions(id_N, target_N, predicted_N, *p_NK)
    loss = float(loss_N.mean(dtype=np.float64))
    return Evaluation(loss, predictions, task.measure(predictions))


def _tensors(said: Predicted) -> list[torch.Tensor]:
    return [said.predicted_B] if said.p_BK is None else [said.predicted_B, said.p_BK]
