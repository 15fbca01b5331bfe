"""Evaluation of a model on one pass over a feed.

Legend: B batch, N rows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from raytl.data.batch import Batch
from raytl.data.feed import Feed
from raytl.models.transfer_model import TransferModel, TransferOutput
from raytl.predictions import Predictions
from raytl.ranks import WHOLE, all_rows, own_share
from raytl.rows import chosen, moved
from raytl.tasks.base import Predicted, Task
from raytl.tasks.columns import NO_LABEL

MOST_ROWS = 512  # that are evaluated at a time
MOST_NUMBERS = 2**24  # that a head gives for them


@dataclass(frozen=True)
class Evaluation:
    """What one pass gives. `loss`: the mean of the task's over the rows that have a target, NaN
    where none has one. `metrics`: what was asked for, by name. `rows`: how many rows have a
    target."""

    loss: float
    predictions: Predictions  # of all rows, in the feed's order
    metrics: dict[str, Any]
    rows: int
    answers: tuple[Any, ...] = ()  # as `Task.encoded` has them, one a row, if asked for


@torch.inference_mode()
def evaluate(
    model: TransferModel,
    task: Task,
    feed: Feed,
    device: torch.device,
    *,
    of_source: bool = False,
    names: Collection[str] | None = None,
    encoded: bool = False,
) -> Evaluation:
    """Evaluate in eval mode; the model's mode is put back afterwards. Several workers evaluate
    their shares and all get all. `of_source`: the rows are the source domain's. `names`: what to
    measure; see `Task.measure`. `encoded`: whether answers are kept, of a task that
    gives no numbers; by one worker alone."""
    # Not every network takes a batch without a row: where rows are few, each worker takes all.
    share = own_share() if feed.rows >= own_share().ranks else WHOLE
    was_training = model.training
    model.eval()
    seen: dict[str, list[torch.Tensor]] = {}
    answers: list[bytes] = []
    for batch in feed.eval_batches(rows_at_a_time(task, model.head), share):
        on_device = batch.to(device)
        output = model(on_device.inputs, num_source=len(batch.id) if of_source else 0)
        said = task.predict(output.out, output.head)
        kept = _kept(task, output, said, on_device) | {"id_N": moved(batch.id, device)}
        for name, of_rows in kept.items():
            seen.setdefault(name, []).append(of_rows)
        if encoded:
            answers += task.encoded(said)
    model.train(was_training)
    joined = {name: torch.cat(parts) for name, parts in seen.items()}
    if share != WHOLE:
        joined = {name: all_rows(part, feed.rows) for name, part in joined.items()}
    every: dict[str, Any] = {"predicted_N": None} | {
        name: part.cpu().numpy() for name, part in joined.items()
    }
    loss_N = every.pop("loss_N")
    predictions = Predictions(**every)
    known_N = task.known(predictions.target_N)
    rows = int(known_N.sum())
    loss = float(loss_N[known_N].mean(dtype=np.float64)) if rows else np.nan
    return Evaluation(loss, predictions, task.measure(predictions, names), rows, tuple(answers))


def rows_at_a_time(task: Task, head: nn.Module) -> int:
    """Return how many rows are evaluated at a time: MOST_ROWS, fewer where the head gives many
    numbers for a row."""
    return max(1, min(MOST_ROWS, MOST_NUMBERS // task.row_numbers(head)))


def _kept(
    task: Task, output: TransferOutput, said: Predicted, batch: Batch
) -> dict[str, torch.Tensor]:
    """Return what is kept of a batch: losses of rows, and fields of Predictions but ids."""
    target = batch.target
    if target is None:  # rows that are predicted alone
        plain = "numbers" in task.gives
        target_B = torch.full(
            batch.id.shape, task.no_target, dtype=said.answer.dtype if plain else torch.int64,
            device=output.mapped.device,
        )  # fmt: skip
        nothing_B = torch.full_like(target_B, torch.nan, dtype=torch.float32)
        if not plain:
            return {"target_N": target_B, "loss_N": nothing_B}
        return _fields(said, target_B, nothing_B)
    known_B = task.known(target)
    loss_B = output.mapped.new_full((len(output.mapped),), torch.nan, dtype=torch.float32)
    out, known = chosen(output.out, known_B), chosen(target, known_B)
    loss_B[known_B] = task.loss(out, known, head=output.head).float()
    statistics = task.statistics(said, target)
    if statistics is None:
        assert isinstance(target, torch.Tensor)
        return _fields(said, target, loss_B)
    marks_B = torch.where(known_B, 0, NO_LABEL)
    return {"target_N": marks_B, "loss_N": loss_B, "statistics_NM": statistics}


def _fields(
    said: Predicted, target_B: torch.Tensor, loss_B: torch.Tensor
) -> dict[str, torch.Tensor]:
    found = {"target_N": target_B, "loss_N": loss_B, "predicted_N": said.answer}
    return found if said.p_BK is None else found | {"p_NK": said.p_BK}
