"""What the driver of a trial with several workers does with what they report, and how they end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.train import Checkpoint

from raytl.config import Study
from raytl.errors import CheckpointError, TrainingError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray import parallel_trial
from raytl.sweeping.on_ray.private_ray import Started
from raytl.sweeping.on_ray.trainable import Reporter
from raytl.sweeping.on_ray.workers import OutOfMemory, Reported

CONFIG: dict[str, Any] = {"name": "trial-00000", "micro_batches": 3}


class Script:
    """Attempts that end as told."""

    def __init__(self, *ends: Any) -> None:
        self.ends, self.micro_batches, self.stopped = list(ends), list[int](), 0
        self.started_from = list[int | None]()  # epochs of the checkpoint

    def __call__(self, *given: Any) -> Any:
        *_, saved, parts = given
        self.started_from.append(None if saved is None else len(saved.curve))
        self.micro_batches.append(parts)
        return self

    def run(self) -> Any:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    """What an attempt of two epochs reports to; Tune hears nothing."""
    monkeypatch.setattr(tune, "report", lambda metrics: None)
    return Reporter(RunStorage(tmp_path).trial("trial-00000"), CONFIG, 2, "1 × 1")


@pytest.fixture
def play(
    tiny_study: Callable[..., Study],
    tmp_path: Path,
    report: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Script], None]:
    def run(script: Script) -> None:
        monkeypatch.setattr(parallel_trial, "Attempt", script)
        study = tiny_study(resources={"workers_per_trial": 2})
        parallel_trial.run_parallel_trial(study, RunStorage(tmp_path), CONFIG, report)

    return run


def test_out_of_memory_starts_again_with_smaller_parts(play: Callable[[Script], None]) -> None:
    script = Script(OutOfMemory(3), OutOfMemory(6), None)
    play(script)
    assert script.micro_batches == [3, 6, 12]
    assert script.stopped == 3


def test_what_a_worker_raises_ends_the_trial_and_its_workers(
    play: Callable[[Script], None],
) -> None:
    script = Script(TrainingError("loss must be finite"))
    with pytest.raises(TrainingError, match="finite"):
        play(script)
    assert script.stopped == 1


def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(
    play: Callable[[Script], None], report: Reporter
) -> None:
    report({"epoch": 1}, lambda folder: None)
    script = Script(CheckpointError("cut off"), None)
    play(script)
    assert script.started_from == [1, None]
    assert script.stopped == 2


class Items:
    """A queue that holds what the workers' side put there."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)

    def get(self) -> Any:
        return self.items.pop(0)


@pytest.fixture
def attempt(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> parallel_trial.Attempt:
    """An attempt of two epochs without workers."""
    made: parallel_trial.Attempt = object.__new__(parallel_trial.Attempt)
    for name, value in (("_epochs", 2), ("_reporter", report), ("_shown", None)):
        monkeypatch.setattr(made, name, value, raising=False)
    monkeypatch.setattr(made, "_fit", lambda: None)
    return made


@pytest.mark.parametrize("end", [None, OutOfMemory(4)])
def test_workers_that_end_without_a_report_end_the_attempt(
    attempt: parallel_trial.Attempt, end: Any
) -> None:
    queue: Any = Items(Started("the controller"), end)
    attempt.queue = queue
    assert attempt.run() == end


def test_what_ray_train_raises_is_raised(attempt: parallel_trial.Attempt) -> None:
    queue: Any = Items(ValueError("no room"))
    attempt.queue = queue
    with pytest.raises(ValueError, match="no room"):
        attempt.run()


@pytest.fixture
def reported(tmp_path: Path) -> Callable[[int, str], Reported]:
    """Make what the workers report of an epoch, with a checkpoint of its own."""

    def make(epoch: int, name: str) -> Reported:
        (folder := tmp_path / "workers" / name).mkdir(parents=True)
        (folder / "checkpoint.pt").write_text(name)
        checkpoint = Checkpoint(str(folder), LocalFileSystem())
        return Reported({"epoch": epoch}, checkpoint)

    return make


MakeReported = Callable[[int, str], Reported]


def test_an_epoch_that_is_done_again_after_a_loss_is_kept_once(
    attempt: parallel_trial.Attempt, report: Reporter, reported: MakeReported, tmp_path: Path
) -> None:
    queue: Any = Items(reported(1, "first"), reported(1, "again"), None)
    attempt.queue = queue
    assert attempt.run() is None
    kept = RunStorage(tmp_path).newest_checkpoint("trial-00000")
    assert (report.epoch, (kept / "checkpoint.pt").read_text()) == (1, "first")


def test_of_the_workers_own_checkpoints_the_newest_stays(
    attempt: parallel_trial.Attempt, report: Reporter, reported: MakeReported, tmp_path: Path
) -> None:
    queue: Any = Items(reported(1, "first"), reported(2, "second"))
    attempt.queue = queue
    assert attempt.run() is None
    assert [path.name for path in (tmp_path / "workers").iterdir()] == ["second"]
    kept = RunStorage(tmp_path).newest_checkpoint("trial-00000")
    assert (report.epoch, (kept / "checkpoint.pt").read_text()) == (2, "second")
