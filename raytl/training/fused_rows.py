"""The rows of trials that train as one batched module, as plain tensors that are stacked."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raytl.data.batch import Batch, TrainBatch
from raytl.rows import Given

INPUT = "input "  # how the names of what branches are given begin in `Rows`
Rows = dict[str, dict[str, Tensor]]  # stream → each branch's features, target and id of its rows


def stacked_rows(batches: Sequence[TrainBatch]) -> tuple[Rows, int | None]:
    """Return the batches' tensors, stacked over members unless all share one, and the dimension of
    the members."""
    parts = [_as_rows(batch) for batch in batches]
    if len(parts) == 1:
        return parts[0], None
    return {
        stream: {key: torch.stack([part[stream][key] for part in parts]) for key in rows}
        for stream, rows in parts[0].items()
    }, 0


def _as_rows(batch: TrainBatch) -> Rows:
    return {name: _tensors(part) for name, part in batch.streams.items()}


def _tensors(part: Batch) -> dict[str, Tensor]:
    tensors = {"id": part.id}
    if part.target is not None:
        assert isinstance(part.target, Tensor)
        tensors["target"] = part.target
    for name, given in part.inputs.items():
        assert isinstance(given.rows, Tensor)
        tensors[INPUT + name] = given.rows
    return tensors


def as_batch(rows: Rows, steps: Mapping[str, int]) -> TrainBatch:
    """Return one trial's rows as a batch. `steps`: of each branch, all of which are done."""
    return TrainBatch(
        **{
            name: Batch(
                {n: Given(part[INPUT + n], done=done) for n, done in steps.items()},
                part.get("target"),
                part["id"],
            )
            for name, part in rows.items()
        }
    )
