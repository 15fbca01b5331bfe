"""The training loop. Everything that trains goes through `train_epoch`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from raytl.config import OptimizerConfig
from raytl.data.domains import TrainBatch
from raytl.data.feed import Batch
from raytl.errors import TrainingError
from raytl.models.transfer_model import TransferModel
from raytl.recipes import Recipe
from raytl.training.optimization import learning_rate_factor, set_learning_rate


@dataclass
class Trainer:
    """All that a training step touches."""

    model: TransferModel
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    config: OptimizerConfig
    transform: Callable[[torch.Tensor], torch.Tensor]
    device: torch.device
    steps: int  # of the whole training
    step: int = 0  # steps done
    micro_batches: int = 1  # parts of a batch whose gradients are added up, as memory demands


def train_epoch(trainer: Trainer, batches: Iterator[TrainBatch], steps: int) -> dict[str, float]:
    """Take `steps` steps and return the mean of every loss, and the schedules' last values.

    Raises TrainingError before the update where a loss is not finite.
    """
    trainer.model.train()
    trainer.recipe.train()
    sums: dict[str, torch.Tensor] = {}
    scalars: dict[str, float] = {}
    for _ in range(steps):
        progress = trainer.step / trainer.steps
        lr = schedule(trainer, progress)

        trainer.model.hold(trainer.recipe.held_blocks(trainer.model, progress))
        losses = _fill_gradients(trainer, next(batches), progress)
        trainer.optimizer.step()
        trainer.step += 1

        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss
        scalars = {"lr": lr} | trainer.recipe.scalars(progress)
    if trainer.micro_batches > 1:
        scalars["micro_batches"] = trainer.micro_batches
    means = {f"train/loss/{name}": float(value) / steps for name, value in sums.items()}
    return means | {f"train/{name}": value for name, value in scalars.items()}


def _fill_gradients(
    trainer: Trainer, batch: TrainBatch, progress: float
) -> dict[str, torch.Tensor]:
    """Fill the gradients of one step and return the values of its losses.

    Where memory runs out, the batch is taken in twice as many parts, for the rest of the training.
    That changes nothing in losses that are means over rows; those between rows (mmd, coral, mcc,
    batch statistics) then see a part's rows.
    """
    while True:
        trainer.optimizer.zero_grad(set_to_none=True)
        try:
            return _accumulate(trainer, batch, progress)
        except torch.OutOfMemoryError as error:
            smallest = min(len(part.x) for part in vars(batch).values() if part is not None)
            if 2 * trainer.micro_batches > smallest:
                raise TrainingError(
                    f"out of memory even with {trainer.micro_batches} parts of a batch; freeze "
                    "more blocks, lower input_size or take a smaller source model"
                ) from error
            trainer.micro_batches *= 2


def _accumulate(trainer: Trainer, batch: TrainBatch, progress: float) -> dict[str, torch.Tensor]:
    sums: dict[str, torch.Tensor] = {}
    one = trainer.micro_batches == 1
    for part, share in [(batch, 1.0)] if one else _parts(batch, trainer.micro_batches):
        losses = trainer.recipe.losses(trainer.model, prepare(part, trainer), progress)
        total = trainer.recipe.total(losses, progress)
        # One sync a step, paid on purpose: an update with a NaN cannot be taken back.
        if not torch.isfinite(total):
            raise not_finite(losses, trainer)
        (share * total).backward()
        for name, loss in (losses | {"total": total}).items():
            sums[name] = sums.get(name, 0.0) + share * loss.detach()
    return sums


def _parts(batch: TrainBatch, count: int) -> Iterator[tuple[TrainBatch, float]]:
    """Yield parts of the batch, and which share of its rows each has. Streams have the same number
    of rows."""
    streams = {name: part for name, part in vars(batch).items() if part is not None}
    rows = len(next(iter(streams.values())).x)
    for start, stop in pairwise(rows * i // count for i in range(count + 1)):
        cut = slice(start, stop)
        parts = {
            name: Batch(part.x[cut], None if part.y is None else part.y[cut], part.id[cut])
            for name, part in streams.items()
        }
        yield TrainBatch(**parts), (stop - start) / rows


def schedule(trainer: Trainer, progress: float) -> float:
    """Set the learning rate for `progress` and return it."""
    lr = trainer.config.lr * learning_rate_factor(trainer.config, progress)
    set_learning_rate(trainer.optimizer, lr)
    return lr


def prepare(batch: TrainBatch, trainer: Trainer) -> TrainBatch:
    """Return the batch on the trainer's device, its images transformed."""

    def ready(part: Batch | None) -> Batch | None:
        if part is None:
            return None
        y = None if part.y is None else part.y.to(trainer.device)
        return replace(part, x=trainer.transform(part.x.to(trainer.device)), y=y)

    return TrainBatch(ready(batch.source), ready(batch.target), ready(batch.labelled))


def not_finite(losses: dict[str, torch.Tensor], trainer: Trainer) -> TrainingError:
    """Return the error of a step whose loss is not finite."""
    values = ", ".join(f"{name}={float(loss.detach()):g}" for name, loss in losses.items())
    return TrainingError(
        f"loss must be finite, but at step {trainer.step} of {trainer.steps} got {values}; "
        f"stopped before the update. Lower optimizer.lr (it peaks at {trainer.config.lr:g}) "
        "or look for bad values in the data"
    )
