"""A group of trials that train together, whichever of them runs.

Each member stays a trial of its own, which reports its own epochs and may be stopped early. The one
that runs trains all members, epoch by epoch, and keeps each one's metrics and checkpoint where that
member looks for its own: so one that runs later finds what is done, wherever it runs, and goes on.
Members that have been stopped are trained on: which numbers come out must not depend on when
somebody stopped, and their arithmetic costs little.
"""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from raytl.config import Study, TrialConfig
from raytl.data.mixing import joint_batches
from raytl.errors import CheckpointError, TrainingError
from raytl.training.fused import Member, fusable, train_fused_epoch
from raytl.training.trial import Metrics, Save, TrialRun

# Where fusing pays on a CPU, measured with benchmarks/fused_trials.py: with more numbers to train a
# step's arithmetic, not its overhead, takes the time; fewer trials do not outweigh vectorising.
MOST_TRAINED_ON_CPU = 20_000
LEAST_FUSED_ON_CPU = 4
Build = Callable[[int, Path | None], TrialRun]  # a member's number, a checkpoint → the member


@dataclass(frozen=True)
class MemberConfig:
    """A trial of a group; its seeds are those of `TrialRun`."""

    trial: TrialConfig
    seed: int
    rows_seed: int | None = None


@dataclass(frozen=True)
class Failure:
    """The error with which a member's `epoch`, from 1 on, ended."""

    epoch: int
    text: str


class KeptMember(Protocol):
    """What is kept of a member."""

    @property
    def epochs(self) -> Collection[int]:
        """The epochs after which it can go on, from 1 on."""
        ...

    @property
    def failure(self) -> Failure | None:
        """How it ended, if it did not end well."""
        ...

    def fetched(self, epoch: int) -> AbstractContextManager[Path]:
        """Yield a folder of this machine with the checkpoint after one of `epochs`."""
        ...

    def drop(self, epoch: int) -> None:
        """Delete a checkpoint that cannot be read after all."""
        ...

    def take_up(self, epoch: int) -> None:
        """Go on after one of `epochs`, or from the start: what is kept of later ones counts no
        more."""
        ...

    def keep(self, metrics: Metrics, save: Save) -> Metrics:
        """Keep the next epoch and return its metrics; `save` writes its checkpoint into a
        folder."""
        ...

    def fail(self, failure: Failure) -> None:
        """Keep how it ended."""
        ...


class FusedGroup:
    """`build` makes a member, or puts it back at a checkpoint."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._runs: dict[int, TrialRun] = {}
        self._kept: Sequence[KeptMember] = ()
        self._epoch = 0  # after which all members stand

    def member(self, index: int) -> TrialRun:
        """Return a member, wherever it stands."""
        if index not in self._runs:
            self._runs[index] = self._build(index, None)
        return self._runs[index]

    def take_up(self, kept: Sequence[KeptMember]) -> None:
        """Go on from what is kept of the members: after the last epoch that all have done. Where
        there is none, the group starts anew."""
        self._kept = kept
        every = sorted({epoch for member in kept for epoch in member.epochs}, reverse=True)
        self._epoch = next(filter(self._all_did, every), 0)
        for member in kept:
            member.take_up(self._epoch)

    def _all_did(self, epoch: int) -> bool:
        return all(epoch in m.epochs for m in self._kept if not _failed(m, epoch))

    def epoch(self, index: int) -> Metrics:
        """Train the next epoch of all members; return that of one of them.

        Raises TrainingError where its loss was not finite, now or before.
        """
        self._check(index)
        while True:
            try:
                found = self._compute(self._epoch + 1)
                break
            except CheckpointError:  # by now it is dropped
                self.take_up(self._kept)
        self._epoch += 1
        self._check(index)
        return found[index]

    def _check(self, index: int) -> None:
        failure = self._kept[index].failure
        if failure is not None:
            raise TrainingError(failure.text)

    def _after(self, index: int, epoch: int) -> TrialRun:
        """Return a member after an epoch: as this process holds it, or from what is kept."""
        run = self._runs.get(index)
        if run is not None and run.epoch == epoch:
            return run
        if epoch == 0:
            run = self._build(index, None)
        else:
            try:
                with self._kept[index].fetched(epoch) as checkpoint:
                    run = self._build(index, checkpoint)
            except CheckpointError:
                self._kept[index].drop(epoch)
                raise
        self._runs[index] = run
        return run

    def _compute(self, number: int) -> dict[int, Metrics]:
        """Train epoch `number` of those that have not failed; keep and return its metrics."""
        indices = [i for i, member in enumerate(self._kept) if member.failure is None]
        start = time.perf_counter()
        runs = [self._after(index, number - 1) for index in indices]
        try:
            results = _train_together(runs)
        except torch.OutOfMemoryError:  # nothing has changed yet
            results = [_train_alone(run) for run in runs]
        # Of the whole group's time, each member's share.
        seconds = {"train/seconds": (time.perf_counter() - start) / max(1, len(indices))}
        metrics: dict[int, Metrics] = {}
        for index, run, result in zip(indices, runs, results, strict=True):
            if isinstance(result, TrainingError):
                self._kept[index].fail(Failure(number, str(result)))
            else:
                metrics[index] = run.judge(result | seconds)
        return self._keep(metrics)

    def _keep(self, metrics: dict[int, Metrics]) -> dict[int, Metrics]:
        """Keep an epoch of several members at once: behind a URL each waits for the network."""

        def keep(index: int) -> Metrics:
            return self._kept[index].keep(metrics[index], self._runs[index].save)

        with ThreadPoolExecutor(max(1, len(metrics))) as pool:
            return dict(zip(metrics, pool.map(keep, metrics), strict=True))


def _failed(member: KeptMember, epoch: int) -> bool:
    return member.failure is not None and member.failure.epoch <= epoch


def _train_together(runs: Sequence[TrialRun]) -> list[Metrics | TrainingError]:
    return train_fused_epoch(
        [Member(run.trainer, run.epoch_seed) for run in runs],
        lambda i: joint_batches(runs[i].feeds, runs[i].trainer.step),
        runs[0].steps,
        same_rows=len({(run.seed, run.rows_seed) for run in runs}) == 1,
    )


def _train_alone(run: TrialRun) -> Metrics | TrainingError:
    try:
        with closing(run):
            return run.train()
    except TrainingError as error:
        return error


def pays(study: Study, run: TrialRun, count: int) -> bool:
    """Whether `count` trials like this one train together faster than one by one."""
    if not (run.reads_features and fusable(run.trainer)):
        return False
    if study.train.fuse != "auto" or run.device.type != "cpu":
        return True
    few_numbers = run.parts.model.num_trainable() <= MOST_TRAINED_ON_CPU
    return few_numbers and count >= LEAST_FUSED_ON_CPU
