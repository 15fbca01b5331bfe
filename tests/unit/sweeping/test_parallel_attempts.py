"""What the driver of a trial with several workers does with what they report, and how they end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raytl.config import Study
from raytl.errors import CheckpointError, TrainingError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import TrialFolder
from raytl.sweeping.on_ray import parallel_trial
from raytl.sweeping.on_ray.private_ray import Started
from raytl.sweeping.on_ray.trainable import METRICS, Reporter
from raytl.sweeping.on_ray.workers import OutOfMemory, Reported

CONFIG: dict[str, Any] = {"name": "trial-00000", "micro_batches": 3}


class Script:
    """Attempts that end as told."""

    def __init__(self, *ends: Any) -> None:
        self.ends, self.micro_batches, self.stopped = list(ends), list[int](), 0

    def __call__(self, *given: Any) -> Any:
        self.micro_batches.append(given[-1])
        return self

    def run(self) -> Any:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return RunStorage(tmp_path).trial("trial-00000")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that Tune is told of."""
    epochs = list[int]()
    monkeypatch.setattr(
        tune, "report", lambda result: epochs.append(json.loads(result[METRICS])["epoch"])
    )
    return epochs


@pytest.fixture
def report(folder: TrialFolder, told: list[int]) -> Reporter:
    """What an attempt of three epochs reports to."""
    return Reporter(folder, CONFIG, 3, "1 × 1")


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
    play: Callable[[Script], None], report: Reporter, folder: TrialFolder
) -> None:
    for epoch in (1, 2):
        report({"epoch": epoch}, lambda folder: None)
    script = Script(CheckpointError("cut off"), None)
    play(script)
    assert script.stopped == 2
    saved = folder.newest()
    assert saved is not None and len(saved.curve) == 1


def test_where_no_checkpoint_is_left_that_is_said(play: Callable[[Script], None]) -> None:
    script = Script(CheckpointError("cut off"))
    with pytest.raises(CheckpointError, match="cut off"):
        play(script)
    assert script.stopped == 1


class Items:
    """A queue that holds what the workers' side put there."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)

    def get(self) -> Any:
        return self.items.pop(0)


@pytest.fixture
def attempt(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> parallel_trial.Attempt:
    """An attempt of three epochs without workers."""
    made: parallel_trial.Attempt = object.__new__(parallel_trial.Attempt)
    for name, value in (("_epochs", 3), ("_reporter", report)):
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


def test_an_epoch_that_is_done_again_after_a_loss_is_told_once(
    attempt: parallel_trial.Attempt, told: list[int]
) -> None:
    queue: Any = Items(*(Reported({"epoch": epoch}) for epoch in (1, 1, 2, 1, 2, 3)), "unread")
    attempt.queue = queue
    assert attempt.run() is None
    assert told == [1, 2, 3]
    assert queue.items == ["unread"]
