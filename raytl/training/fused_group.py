"""A group of trials that train together, whichever of them asks for an epoch first.

Each member stays a trial of its own, which reports its own epochs and may be stopped early. The
group's folder, on this machine, holds for each member and epoch the metrics and a checkpoint. Who
needs an epoch that is not there computes it, under a lock, for all members; these find theirs there
when their turn comes. Members that have been stopped are trained on: which numbers come out must
not depend on when somebody stopped, and their arithmetic costs little.
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
from raytl.data.mixing import joint_batches
from raytl.errors import TrainingError
from raytl.folders import new_folder
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.training.checkpoint import FILE_NAME
from raytl.training.fused import Member, fusable, train_fused_epoch
from raytl.training.material import Material
from raytl.training.prefix_cache import LOCK_S, STALE_S, cache_folder
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

    def epoch(self, index: int, number: int) -> tuple[Metrics, Path]:
        """Return a member's metrics of epoch `number` (from 1 on) and the folder of its checkpoint.

        Raises TrainingError where its loss was not finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock", timeout=LOCK_S):
            for missing in range(self._whole_epochs(number) + 1, number + 1):
                self._compute(missing)
        at = self._at(index, number)
        if not at.exists():
            raise TrainingError(self._error(index).read_text(encoding="utf-8"))
        return json.loads((at / METRICS).read_text(encoding="utf-8")), at

    def member(self, index: int) -> TrialRun:
        """Return a member, wherever it stands."""
        if index not in self._runs:
            self._runs[index] = self.start(index, None)
        return self._runs[index]

    def _at(self, index: int, epoch: int) -> Path:
        return self.folder / str(index) / str(epoch)

    def _error(self, index: int) -> Path:
        return self.folder / str(index) / "error.txt"

    def _live(self) -> list[int]:
        """Return the members whose losses have been finite so far."""
        return [index for index in range(self.size) if not self._error(index).exists()]

    def _whole_epochs(self, most: int) -> int:
        """Return up to which epoch, `most` at the latest, all members have been trained."""
        for number in range(most, 0, -1):
            if all(self._at(index, number).exists() for index in self._live()):
                return number
        return 0

    def _member(self, index: int, epoch: int) -> TrialRun:
        """Return a member after `epoch` epochs: as this process holds it, or from the folder."""
        run = self._runs.get(index)
        if run is None or run.epoch != epoch:
            run = self.start(index, self._at(index, epoch) if epoch else None)
            self._runs[index] = run
        return run

    def _compute(self, number: int) -> None:
        indices = self._live()
        start = time.perf_counter()
        runs = [self._member(i, number - 1) for i in indices]
        try:
            results = _train_together(runs)
        except torch.OutOfMemoryError:  # nothing has changed yet
            results = [_train_alone(run) for run in runs]
        # Of the whole group's time, each member's share.
        seconds = {"train/seconds": (time.perf_counter() - start) / max(1, len(indices))}
        for index, result in zip(indices, results, strict=True):
            run = self._runs[index]
            if isinstance(result, TrainingError):
                self._error(index).parent.mkdir(exist_ok=True)
                self._error(index).write_text(str(result), encoding="utf-8")
                continue
            with new_folder(self._at(index, number), force=True) as folder:
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


def _train_alone(run: TrialRun) -> Metrics | TrainingError:
    try:
        return run.train()
    except TrainingError as error:
        return error


_last: dict[Path, FusedGroup] = {}  # the group that this process worked on last


def _open_group(folder: Path, size: int, start: Start) -> FusedGroup:
    if folder not in _last:
        _last.clear()
        _forget_stale(folder.parent)
        _last[folder] = FusedGroup(folder, size, start)
    return _last[folder]


def _forget_stale(groups: Path) -> None:
    """Delete groups of runs that were killed and never resumed."""
    for group in groups.glob("*"):
        if time.time() - group.stat().st_mtime > STALE_S:
            shutil.rmtree(group, ignore_errors=True)


def forget_group(group: str) -> None:
    """Delete what a group has left on this machine: all its members have ended."""
    shutil.rmtree(group_folder(group), ignore_errors=True)


def run_fused_trial(
    material: Material,
    members: Sequence[MemberConfig],
    index: int,
    group: str,
    report: Report,
    *,
    start: int = 0,
    device: str = "cpu",
    resume_from: Path | None = None,
    test: bool = False,
) -> None:
    """Run member `index` of the group from epoch `start` on: its epochs fused where that pays, else
    alone, from the checkpoint `resume_from`.

    `report` and what is raised are `run_trial`'s.
    """

    def build(number: int, checkpoint: Path | None) -> TrialRun:
        of = members[number]
        return TrialRun(
            material, of.trial, of.seed, device=device, resume_from=checkpoint, test=test,
            rows_seed=of.rows_seed,
        )  # fmt: skip

    fused = _open_group(group_folder(group), len(members), build)
    run = fused.member(index)
    if not _pays(material.study, run, len(members)):
        run = run if start == run.epoch == 0 else build(index, resume_from)
        while not run.done:
            report(run.judge(run.train()), run.save)
        return
    for number in range(start + 1, material.study.train.epochs + 1):
        metrics, at = fused.epoch(index, number)
        report(metrics, lambda folder, at=at: _copy_checkpoint(at, folder))  # type: ignore[misc]


def _copy_checkpoint(at: Path, folder: Path) -> None:
    for name in (FILE_NAME, PREDICTIONS):
        if (at / name).exists():
            shutil.copy(at / name, folder / name)


def _pays(study: Study, run: TrialRun, count: int) -> bool:
    if not (run.reads_features and fusable(run.trainer)):
        return False
    if study.train.fuse != "auto" or run.device.type != "cpu":
        return True
    few_numbers = run.parts.model.num_trainable() <= MOST_TRAINED_ON_CPU
    return few_numbers and count >= LEAST_FUSED_ON_CPU
