"""Evaluation of a model on one pass over a feed.

Legend: B batch, N rows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from raytl.data.feed import Feed
from raytl.models.transfer_model import TransferModel
from raytl.predictions import Predictions
from raytl.ranks import WHOLE, all_rows, own_share
from raytl.rows import moved
from raytl.tasks.base import Predicted, Task


@dataclass(frozen=True)
class Evaluation:
    """What one pass gives. `loss`: the mean of the task's over the rows that have a target, NaN
    where none has one. `metrics`: what was asked for, by name. `rows`: how many rows have a
    target."""

    loss: float
    predictions: Predictions  # of all rows, in the feed's order
    metrics: dict[str, Any]
    rows: int


@torch.inference_mode()
def evaluate(
    model: TransferModel,
    task: Task,
    feed: Feed,
    device: torch.device,
    *,
    of_source: bool = False,
    names: Collection[str] | None = None,
) -> Evaluation:
    """Evaluate in eval mode; the model's mode is put back afterwards. Several workers evaluate
    their shares and all get all. `of_source`: the rows are the source domain's. `names`: what to
    measure; see `Task.measure`."""
    # Not every network takes a batch without a row: where rows are few, each worker takes all.
    share = own_share() if feed.rows >= own_share().ranks else WHOLE
    was_training = model.training
    model.eval()
    seen: list[tuple[torch.Tensor, ...]] = []
    for batch in feed.eval_batches(share=share):
        on_device = batch.to(device)
        out = model(on_device.inputs, num_source=len(batch.id) if of_source else 0).out
        said, target_B = task.predict(out), on_device.target
        if target_B is None:  # rows that are predicted alone
            kind = said.predicted_B.dtype
            target_B = torch.full(batch.id.shape, task.no_target, dtype=kind, device=device)
        known_B = task.known(target_B)
        loss_B = out.new_full((len(out),), torch.nan, dtype=torch.float32)
        loss_B[known_B] = task.loss(out[known_B], target_B[known_B]).float()
        seen.append((moved(batch.id, device), target_B, loss_B, *_tensors(said)))
    model.train(was_training)
    every = [torch.cat(parts) for parts in zip(*seen, strict=True)]
    if share != WHOLE:
        every = [all_rows(part, feed.rows) for part in every]
    id_N, target_N, loss_N, predicted_N, *p_NK = (part.cpu().numpy() for part in every)
    predictions = Predictions(id_N, target_N, predicted_N, *p_NK)
    known_N = task.known(target_N)
    rows = int(known_N.sum())
    loss = float(loss_N[known_N].mean(dtype=np.float64)) if rows else np.nan
    return Evaluation(loss, predictions, task.measure(predictions, names), rows)


def _tensors(said: Predicted) -> list[torch.Tensor]:
    return [said.predicted_B] if said.p_BK is None else [said.predicted_B, said.p_BK]
