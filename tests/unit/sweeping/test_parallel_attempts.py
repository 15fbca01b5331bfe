"""What the driver of a trial with several workers does when a worker's memory runs out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.config import Study
from raytl.errors import TrainingError
from raytl.sweeping import parallel_trial
from raytl.sweeping.storage import RunStorage


class Script:
    """Attempts that end as told."""

    def __init__(self, *ends: Any) -> None:
        self.ends, self.micro_batches, self.stopped = list(ends), list[int](), 0

    def __call__(self, study: Any, storage: Any, config: Any, checkpoint: Any, parts: int) -> Any:
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
def play(
    tiny_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Script], None]:
    monkeypatch.setattr(parallel_trial.tune, "get_checkpoint", lambda: None)

    def run(script: Script) -> None:
        monkeypatch.setattr(parallel_trial, "Attempt", script)
        study = tiny_study(resources={"workers_per_trial": 2})
        parallel_trial.run_parallel_trial(study, RunStorage(tmp_path), {"number": 0})

    return run


def test_out_of_memory_starts_again_with_smaller_parts(play: Callable[[Script], None]) -> None:
    oom = parallel_trial.OutOfMemory
    script = Script(oom(1), oom(2), None)
    play(script)
    assert script.micro_batches == [1, 2, 4]
    assert script.stopped == 3


def test_what_a_worker_raises_ends_the_trial_and_its_workers(
    play: Callable[[Script], None],
) -> None:
    script = Script(TrainingError("loss must be finite"))
    with pytest.raises(TrainingError, match="finite"):
        play(script)
    assert script.stopped == 1


class Items:
    """A queue that holds what the workers' side put there."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)

    def get(self) -> Any:
        return self.items.pop(0)


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> parallel_trial.Attempt:
    """An attempt of two epochs without workers."""
    made: parallel_trial.Attempt = object.__new__(parallel_trial.Attempt)
    monkeypatch.setattr(made, "_epochs", 2, raising=False)
    monkeypatch.setattr(made, "_fit", lambda: None)
    return made


@pytest.mark.parametrize("end", [None, parallel_trial.OutOfMemory(4)])
def test_workers_that_end_without_a_report_end_the_attempt(
    attempt: parallel_trial.Attempt, end: Any
) -> None:
    queue: Any = Items(parallel_trial.Started("the controller"), end)
    attempt.queue = queue
    assert attempt.run() == end


def test_what_ray_train_raises_is_raised(attempt: parallel_trial.Attempt) -> None:
    queue: Any = Items(ValueError("no room"))
    attempt.queue = queue
    with pytest.raises(ValueError, match="no room"):
        attempt.run()
