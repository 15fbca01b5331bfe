"""The training loop. Everything that trains goes through `train_epoch`."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raytl.config import OptimizerConfig
from raytl.data.batch import TrainBatch
from raytl.errors import TrainingError
from raytl.models.mappers import NORMALISING
from raytl.models.transfer_model import Block, TransferModel
from raytl.ranks import WHOLE, data_parallel, own_share
from raytl.recipes import Recipe
from raytl.recipes.base import Losses
from raytl.tasks.map_heads import least_rows
from raytl.training.finiteness import Finiteness, NotFinite, update_if_finite
from raytl.training.optimization import (
    clip_gradients,
    learning_rate_factor,
    set_learning_rate,
)


class Objective(nn.Module):
    """Model and recipe as one module, as several workers need it."""

    def __init__(self, model: TransferModel, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def forward(self, batch: TrainBatch, progress: float) -> Losses:
        """Return the losses by name, and their `total`."""
        losses = self.recipe.losses(self.model, batch, progress)
        return losses | {"total": self.recipe.total(losses, progress)}


@dataclass
class Trainer:
    """All that a training step touches."""

    model: TransferModel
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    config: OptimizerConfig
    device: torch.device
    steps: int  # of the whole training
    step: int = 0  # steps done
    micro_batches: int = 1  # parts of a batch whose gradients are added up
    autocast: bool = False  # compute in bfloat16 where that is safe
    reads_all: bool = True  # each branch is given rows in every step
    reads_alike: bool = True  # and of every stream
    objective: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self._wrap()

    @property
    def least_rows(self) -> int:
        """How many rows of each stream a part of a batch needs: a loss that compares rows, and
        batch normalisation of features or maps of one pixel, have nothing to say of one."""
        mapper, head = self.recipe.trial.mapper, self.recipe.trial.head.name
        normalises = mapper.batch_norm and mapper.name in NORMALISING
        of_head = least_rows(head, self.model.tap_shapes)
        return max(self.recipe.least_rows, 2 if normalises else 1, of_head)

    def hold(self, blocks: frozenset[Block]) -> None:
        """Freeze exactly these blocks for now."""
        if self.model.hold(blocks):
            self._wrap()

    def _wrap(self) -> None:
        objective = Objective(self.model, self.recipe)
        all_used = self.recipe.trains_all and self.reads_all
        self.objective = data_parallel(objective, all_used=all_used)


@dataclass(frozen=True)
class Step:
    """What is told of a step that was not finite. `norm`: the gradient's length."""

    number: int
    losses: Losses
    norm: torch.Tensor


def train_epoch(trainer: Trainer, batches: Iterator[TrainBatch], steps: int) -> dict[str, float]:
    """Take `steps` steps and return the mean of every loss and of the gradient's length before it
    was clipped, and the schedules' last values.

    Raises TrainingError where a loss or the gradient is not finite, whose update does not count: on
    a GPU this is known one step late. Whatever is raised has a note that says at which step.
    """
    try:
        return _train(trainer, batches, steps)
    except Exception as error:
        error.add_note(f"at step {trainer.step} of {trainer.steps}")
        raise


def _train(trainer: Trainer, batches: Iterator[TrainBatch], steps: int) -> dict[str, float]:
    trainer.model.train()
    trainer.recipe.train()
    sums: Losses = {}
    norms = torch.zeros((), device=trainer.device)
    scalars: dict[str, float] = {}
    finiteness = Finiteness[Step](trainer.device)
    for _ in range(steps):
        progress = trainer.step / trainer.steps
        lr = schedule(trainer, progress)

        trainer.hold(trainer.recipe.held_blocks(trainer.model, progress))
        try:
            losses = _fill_gradients(trainer, next(batches), progress)
        except Exception:
            _check(trainer, finiteness.settle())  # what came first is to be told
            raise
        norm = clip_gradients(trainer.optimizer, trainer.config.clip_norm)
        # The one sync of a step, paid on purpose: an update with a NaN cannot be taken back.
        finite = torch.isfinite(losses["total"] + norm)
        _check(trainer, finiteness.look(finite, Step(trainer.step, losses, norm)))
        if finiteness.late:
            update_if_finite(trainer.optimizer, finite)
        else:
            trainer.optimizer.step()
        trainer.step += 1

        norms = norms + norm
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss
        scalars = {"lr": lr} | trainer.recipe.scalars(progress)
    _check(trainer, finiteness.settle())
    if trainer.micro_batches > 1:
        scalars["micro_batches"] = trainer.micro_batches
    means = {f"train/loss/{name}": float(value) / steps for name, value in sums.items()}
    means["train/gradient_norm"] = float(norms) / steps
    return means | {f"train/{name}": value for name, value in scalars.items()}


def _check(trainer: Trainer, found: NotFinite[Step] | None) -> None:
    """Raise TrainingError where a step was not finite, the trainer at that step."""
    if found is not None:
        trainer.step = found.step.number
        raise not_finite(found.step.losses, found.step.norm, trainer)


def _fill_gradients(trainer: Trainer, batch: TrainBatch, progress: float) -> Losses:
    """Fill the gradients of one step and return the values of its losses.

    Where memory runs out, the batch is taken in twice as many parts, for the rest of the training.
    That changes nothing in losses that are means over rows; those between rows (mmd, coral, mcc,
    batch statistics) then see a part's rows. Several workers must do so together: there, the error
    is raised for whoever starts them.
    """
    while True:
        trainer.optimizer.zero_grad(set_to_none=True)
        try:
            return _accumulate(trainer, batch, progress)
        except torch.OutOfMemoryError:
            most = most_parts(_rows(batch), trainer.least_rows, own_share().ranks)
            trainer.micro_batches = more_micro_batches(trainer.micro_batches, most)
            if own_share() != WHOLE:
                raise


def most_parts(rows: int, least: int, ranks: int) -> int:
    """Return into how many parts a batch of `rows` may be cut so that each has `least` rows, as
    many of every one of the `ranks` workers."""
    return max(1, (rows // ranks) // math.ceil(least / ranks))


def more_micro_batches(micro_batches: int, most: int) -> int:
    """Return twice as many parts of a batch. Raises TrainingError where that is more than
    `most`."""
    if 2 * micro_batches > most:
        raise TrainingError(
            f"out of memory even with {micro_batches} parts of a batch; freeze more blocks, lower "
            "input_size or take a smaller source model"
        )
    return 2 * micro_batches


def _accumulate(trainer: Trainer, batch: TrainBatch, progress: float) -> Losses:
    sums: Losses = {}
    count = trainer.micro_batches
    for number, (part, share) in enumerate(_parts(batch, count), 1):
        with _exchanging(trainer.objective, number == count):
            with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.autocast):
                losses = trainer.objective(part.to(trainer.device), progress)
            total = losses.pop("total")
            (share * total).backward()
        for name, loss in (losses | {"total": total}).items():
            sums[name] = sums.get(name, 0.0) + share * loss.detach()
    return sums


def _exchanging(objective: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Several workers exchange gradients in the last backward pass of a step only."""
    if last or not isinstance(objective, DistributedDataParallel):
        return nullcontext()
    return objective.no_sync()


def _rows(batch: TrainBatch) -> int:
    """Return the rows of each stream; all have the same number."""
    return next(len(part.id) for part in batch.streams.values())


def _parts(batch: TrainBatch, count: int) -> Iterator[tuple[TrainBatch, float]]:
    """Yield parts of the batch, and which share of its rows each has. Each part has rows of every
    worker."""
    if count == 1:
        yield batch, 1.0
        return
    rows, ranks = _rows(batch), own_share().ranks
    bounds = [ranks * (rows // ranks * i // count) for i in range(count)]
    for start, stop in pairwise([*bounds, rows]):
        own, cut = slice(start // ranks, -(-stop // ranks)), slice(start, stop)
        parts = {name: part.cut(own, cut) for name, part in batch.streams.items()}
        yield TrainBatch(**parts), (stop - start) / rows


def schedule(trainer: Trainer, progress: float) -> float:
    """Set the learning rate for `progress` and return it."""
    lr = trainer.config.lr * learning_rate_factor(trainer.config, progress)
    set_learning_rate(trainer.optimizer, lr)
    return lr


def not_finite(
    losses: dict[str, torch.Tensor], norm: torch.Tensor, trainer: Trainer
) -> TrainingError:
    """Return the error of a step whose loss or gradient, of length `norm`, is not finite."""
    values = ", ".join(f"{k}={float(v):g}" for k, v in losses.items() if k != "total")
    return TrainingError(
        f"loss and gradient must be finite, but at step {trainer.step} of {trainer.steps} got "
        f"{values}, gradient_norm={float(norm):g}; stopped before the update. Lower optimizer.lr "
        f"(it peaks at {trainer.config.lr:g}) or look for bad values in the data"
    )
