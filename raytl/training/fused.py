"""An epoch of several trials at once, as one batched module.

Trials that read the same features through the same architecture, and differ in learning rate,
weight decay, dropout, λ or seed, have parameters of the same shapes: stacked, one vectorised
forward and backward pass serves all of them.

Legend: N trials, B batch.
"""

import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from raytl.data.batch import TrainBatch
from raytl.errors import TrainingError
from raytl.training.finiteness import Finiteness, NotFinite
from raytl.training.fused_masks import Masks, with_masks
from raytl.training.fused_rows import Rows, as_batch, stacked_rows
from raytl.training.loop import Trainer, not_finite, schedule
from raytl.training.stacked_optimizer import Stacked, StackedOptimizer, clip_stacked

# Keys of a trial that enter its losses as factors.
FACTORS = ("adversarial_lambda", "alignment_lambda")
# Number of a member → its batches from now on
Streams = Callable[[int], Generator[TrainBatch, None, None]]
Means = dict[str, float]


def fusable(trainer: Trainer) -> bool:
    """Whether the trial may be trained with others like it, where features are read: its recipe's
    losses vectorise, nothing but parameters is changed by training, and each of its streams has
    every branch: alone, what a missing branch leaves without a gradient is not even decayed."""
    model = trainer.model
    changed = [*model.fusion.buffers(), *model.mapper.buffers(), *model.head.buffers()]
    steady = not model.fusion.draws and not [*changed, *trainer.recipe.buffers()]
    return trainer.recipe.vectorises and steady and trainer.reads_alike


@dataclass(frozen=True)
class Member:
    """One trial of a fused epoch. `seed`: of what it draws in this epoch."""

    trainer: Trainer
    seed: int


def train_fused_epoch(
    members: Sequence[Member], streams: Streams, steps: int, *, same_rows: bool
) -> list[Means | TrainingError]:
    """Train every member for `steps` steps, as `train_epoch` would train it alone.

    Losses and weights agree with those alone within float32's rounding (on CUDA, dropout draws
    other masks). A member whose loss or gradient is not finite gets its TrainingError, unchanged
    weights and no further part; the epoch starts anew for the rest.

    Args:
        streams: gives the batches of a member.
        same_rows: all members read the same batches; only the first one's are read.
    """
    epoch = _FusedEpoch([m.trainer for m in members], [m.seed for m in members])
    failed = _steps(epoch, streams, steps, 1 if same_rows else len(members))
    return _without(failed, members, streams, steps, same_rows) if failed else list(epoch.finish())


def _steps(
    epoch: "_FusedEpoch", streams: Streams, steps: int, count: int
) -> dict[int, TrainingError]:
    """Take the steps of an epoch on the batches of the first `count` members, or stop where some
    were not finite: those are returned."""
    with ExitStack() as opened:
        readers = [opened.enter_context(closing(streams(i))) for i in range(count)]
        for _ in range(steps):
            failed = epoch.step([next(reader) for reader in readers])
            if failed:
                return failed
        return epoch.settle()


def _without(
    failed: dict[int, TrainingError],
    members: Sequence[Member],
    streams: Streams,
    steps: int,
    same_rows: bool,
) -> list[Means | TrainingError]:
    rest = [i for i in range(len(members)) if i not in failed]
    results: dict[int, Means | TrainingError] = dict(failed)
    if rest:
        means = train_fused_epoch(
            [members[i] for i in rest], lambda i: streams(rest[i]), steps, same_rows=same_rows
        )
        results |= dict(zip(rest, means, strict=True))
    return [results[i] for i in range(len(members))]


@dataclass(frozen=True)
class _Step:
    """What is told of a step that was not finite. `number`: within the epoch."""

    number: int
    losses: dict[str, Tensor]
    norms_N: Tensor


class _FusedEpoch:
    """Works on stacked copies: the trainers are changed by `finish` alone."""

    def __init__(self, trainers: Sequence[Trainer], seeds: Sequence[int]) -> None:
        self._trainers, self._done = trainers, 0
        self._losses = _Losses(trainers[0])
        self._masks = Masks([trainer.model for trainer in trainers], seeds, trainers[0].device)
        self._parameters = [_trained(trainer) for trainer in trainers]
        self._stacked: Stacked = {
            name: torch.stack([of[name].detach() for of in self._parameters])
            for name in self._parameters[0]
        }
        self._optimizer = StackedOptimizer([t.optimizer for t in trainers], self._parameters)
        self._factors = {
            key: torch.tensor([getattr(t.recipe.trial, key) for t in trainers]).to(
                trainers[0].device
            )
            for key in FACTORS
        }
        self._branches = trainers[0].model.named_branches
        self._sums: dict[str, Tensor] = {}
        self._norms_N = torch.zeros(len(trainers), device=trainers[0].device)
        self._finiteness = Finiteness[_Step](trainers[0].device)

    @property
    def _progress(self) -> float:
        return (self._trainers[0].step + self._done) / self._trainers[0].steps

    def step(self, batches: Sequence[TrainBatch]) -> dict[int, TrainingError]:
        """Take a step. Returns the members whose loss or gradient was not finite, in this step or,
        on a GPU, in the one before; then the epoch is not to go on."""
        progress = self._progress
        for trainer in self._trainers:
            schedule(trainer, progress)
        device = self._trainers[0].device
        rows, rows_dim = stacked_rows([batch.to(device) for batch in batches])
        masks = self._masks.draw(rows)
        steps = {name: b.backbone.steps for name, b in self._branches.items()}

        def losses_of(
            params: Stacked, factors: Stacked, masks: Stacked, rows: Rows
        ) -> tuple[Tensor, dict[str, Tensor]]:
            given = (as_batch(rows, steps), progress, factors)
            total, losses = functional_call(self._losses, params | masks, given)
            return total, losses | {"total": total}

        gradients, (totals_N, losses) = vmap(
            grad_and_value(losses_of, has_aux=True), in_dims=(0, 0, 0, rows_dim)
        )(self._stacked, self._factors, masks, rows)
        norms_N = clip_stacked(gradients, self._trainers[0].config.clip_norm)
        finite_N = torch.isfinite(totals_N + norms_N)
        failed = self._errors(self._finiteness.look(finite_N, _Step(self._done, losses, norms_N)))
        if failed:
            return failed
        self._optimizer.step(self._stacked, gradients)
        self._done += 1
        self._norms_N = self._norms_N + norms_N
        for name, loss_N in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss_N
        return {}

    def settle(self) -> dict[int, TrainingError]:
        """Return the members whose last step was not finite."""
        return self._errors(self._finiteness.settle())

    def _errors(self, found: "NotFinite[_Step] | None") -> dict[int, TrainingError]:
        if found is None:
            return {}
        return {index: self._error(index, found.step) for index in found.trials}

    def _error(self, index: int, step: "_Step") -> TrainingError:
        trainer = replace(self._trainers[index], step=self._trainers[index].step + step.number)
        own = {name: loss_N[index] for name, loss_N in step.losses.items()}
        return not_finite(own, step.norms_N[index], trainer)

    @torch.no_grad()
    def finish(self) -> Iterator[Means]:
        """Give every trainer its weights and optimiser state; yield its means."""
        self._optimizer.put_back()
        last = self._progress - 1 / self._trainers[0].steps
        for index, trainer in enumerate(self._trainers):
            for name, parameter in self._parameters[index].items():
                parameter.copy_(self._stacked[name][index])
            trainer.step += self._done
            means = {
                f"train/loss/{name}": float(sum_N[index]) / self._done
                for name, sum_N in self._sums.items()
            }
            means["train/gradient_norm"] = float(self._norms_N[index]) / self._done
            scalars = {"lr": schedule(trainer, last)} | trainer.recipe.scalars(last)
            yield means | {f"train/{name}": value for name, value in scalars.items()}


class _Losses(nn.Module):
    """The losses of a trial as a function of its parameters, factors, masks and batch."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        # Shallow copies: backbones are not run, and the trainer's own modules stay as they are.
        self.model, self.recipe = copy.copy(trainer.model), copy.copy(trainer.recipe)
        self.model._modules = dict(self.model._modules)
        self.model.head = with_masks(copy.deepcopy(trainer.model.head))
        self._trial = trainer.recipe.trial

    def forward(
        self, batch: TrainBatch, progress: float, factors: Stacked
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # Not validated again: a factor is a tensor here.
        self.recipe.trial = self._trial.model_copy(update=factors)
        losses = self.recipe.losses(self.model, batch, progress)
        return self.recipe.total(losses, progress), losses


def _trained(trainer: Trainer) -> dict[str, nn.Parameter]:
    """Return what the trainer trains, under the names that `_Losses` has for it."""
    modules = {"model": trainer.model, "recipe": trainer.recipe}
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
