"""A group of trials that train together, whichever of them asks for an epoch first.

Each member stays a trial of its own, which reports its own epochs and may be stopped early. The
group's folder, on this machine, holds for each member and epoch the metrics and a checkpoint. Who
needs an epoch that is not there computes it, under a lock, for all members that have come as far;
these find theirs there when their turn comes.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock

from raytl.config import Study, TrialConfig
from raytl.data.domains import joint_batches
from raytl.data.predictions import FILE_NAME as PREDICTIONS
from raytl.errors import TrainingError
from raytl.folders import new_folder
from raytl.training.checkpoint import FILE_NAME
from raytl.training.fused import Member, fusable, train_fused_epoch
from raytl.training.prefix_cache import LOCK_S, cache_folder
from raytl.training.trial import Metrics, Report, TrialRun

# Where fusing pays on a CPU, measured with benchmarks/fused_trials.py: with more numbers to train a
# step's arithmetic, not its overhead, takes the time; fewer trials do not outweigh vectorising.
MOST_TRAINED_ON_CPU = 20_000
LEAST_FUSED_ON_CPU = 4
METRICS = "metrics.json"
Start = Callable[[int, Path | None], TrialRun]  # a member's number, a checkpoint → the member


@dataclass(frozen=True)
class MemberConfig:
    """A trial of a group; its seeds are those of `TrialRun`."""

    trial: TrialConfig
    seed: int
    rows_seed: int | None = None


def group_folder(group: str) -> Path:
    """Return the folder of a group by its name."""
    return cache_folder().with_name("fused") / group


@dataclass
class FusedGroup:
    """`start` builds a member, or puts it back at a checkpoint."""

    folder: Path
    size: int
    start: Start
    _runs: dict[int, TrialRun] = field(default_factory=dict)

    def member(self, index: int, epoch: int) -> TrialRun:
        """Return a member after `epoch` epochs: as this process holds it, or from the folder."""
        run = self._runs.get(index)
        if run is None or run.epoch != epoch:
            run = self.start(index, self._at(index, epoch) if epoch else None)
            self._runs[index] = run
        return run

    def epoch(self, index: int, number: int) -> tuple[Metrics, Path]:
        """Return a member's metrics of epoch `number` (from 1 on) and the folder of its checkpoint.

        Raises TrainingError where its loss was not finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        at, error = self._at(index, number), self._error(index)
        with FileLock(self.folder / "lock", timeout=LOCK_S):
            if not at.exists() and not error.exists():
                self._compute(index, number)
        if error.exists():
            raise TrainingError(error.read_text(encoding="utf-8"))
        shutil.rmtree(self._at(index, number - 1), ignore_errors=True)
        return json.loads((at / METRICS).read_text(encoding="utf-8")), at

    def adopt(self, index: int, epoch: int, checkpoint: Path) -> None:
        """Take over a checkpoint that the folder has lost, so that the member can go on."""
        if not self._at(index, epoch).exists():
            with new_folder(self._at(index, epoch)) as folder:
                shutil.copy(checkpoint / FILE_NAME, folder / FILE_NAME)

    def _at(self, index: int, epoch: int) -> Path:
        return self.folder / str(index) / str(epoch)

    def _error(self, index: int) -> Path:
        return self.folder / str(index) / "error.txt"

    def _stands_at(self, index: int, epoch: int) -> bool:
        """Whether a member has come as far, no further, and has not ended."""
        ended = has_ended(self.folder, index) or self._error(index).exists()
        come = epoch == 0 or self._at(index, epoch).exists()
        return come and not ended and not self._at(index, epoch + 1).exists()

    def _compute(self, asking: int, number: int) -> None:
        others = [i for i in range(self.size) if i != asking and self._stands_at(i, number - 1)]
        indices = sorted([asking, *others])
        start = time.perf_counter()
        try:
            results = _train_together([self.member(i, number - 1) for i in indices])
        except torch.OutOfMemoryError:  # nothing has changed yet
            indices, results = [asking], [self.member(asking, number - 1).train()]
        # Of the whole group's time, each member's share.
        seconds = {"train/seconds": (time.perf_counter() - start) / len(indices)}
        for index, result in zip(indices, results, strict=True):
            run = self._runs[index]
            if isinstance(result, TrainingError):
                self._error(index).parent.mkdir(exist_ok=True)
                self._error(index).write_text(str(result), encoding="utf-8")
                continue
            with new_folder(self._at(index, number)) as folder:
                metrics = run.judge(result | seconds)
                (folder / METRICS).write_text(json.dumps(metrics), encoding="utf-8")
                run.save(folder)


def _train_together(runs: Sequence[TrialRun]) -> list[Metrics | TrainingError]:
    return train_fused_epoch(
        [Member(run.trainer, run.epoch_seed) for run in runs],
        lambda i: joint_batches(runs[i].feeds, runs[i].trainer.step),
        runs[0].steps,
        same_rows=len({(run.seed, run.rows_seed) for run in runs}) == 1,
    )


def has_ended(folder: Path, index: int) -> bool:
    """Whether a member was stopped: what it would do further is not computed."""
    return (folder / str(index) / "ended").exists()


def mark_ended(folder: Path, index: int) -> None:
    """Note that a member was stopped or has come to its end."""
    (folder / str(index)).mkdir(parents=True, exist_ok=True)
    (folder / str(index) / "ended").touch()


_last: dict[Path, FusedGroup] = {}  # the group that this process worked on last


def _open_group(folder: Path, size: int, start: Start) -> FusedGroup:
    if folder not in _last:
        _last.clear()
        _last[folder] = FusedGroup(folder, size, start)
    return _last[folder]


def run_fused_trial(
    study: Study,
    members: Sequence[MemberConfig],
    index: int,
    group: str,
    report: Report,
    *,
    device: str = "cpu",
    resume_from: Path | None = None,
    test: bool = False,
) -> None:
    """Run member `index` of the group: its epochs fused where that pays, else alone.

    `report` and what is raised are `run_trial`'s.
    """

    def start(number: int, checkpoint: Path | None) -> TrialRun:
        of = members[number]
        return TrialRun(
            study, of.trial, of.seed, device=device, resume_from=checkpoint, test=test,
            rows_seed=of.rows_seed,
        )  # fmt: skip

    fused = _open_group(group_folder(group), len(members), start)
    run = fused.start(index, resume_from)
    if not _pays(study, run, len(members)):
        while not run.done:
            report(run.judge(run.train()), run.save)
        return
    if resume_from is not None:
        fused.adopt(index, run.epoch, resume_from)
    for number in range(run.epoch + 1, study.train.epochs + 1):
        metrics, at = fused.epoch(index, number)
        report(metrics, lambda folder, at=at: _copy_checkpoint(at, folder))  # type: ignore[misc]


def _copy_checkpoint(at: Path, folder: Path) -> None:
    for name in (FILE_NAME, PREDICTIONS):
        if (at / name).exists():
            shutil.copy(at / name, folder / name)


def _pays(study: Study, run: TrialRun, count: int) -> bool:
    if not fusable(run.trainer):
        return False
    if study.train.fuse != "auto" or run.device.type != "cpu":
        return True
    few_numbers = run.parts.model.num_trainable() <= MOST_TRAINED_ON_CPU
    return few_numbers and count >= LEAST_FUSED_ON_CPU
