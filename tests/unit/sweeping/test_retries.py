"""What Tune retries, what it does not, and where a trial goes on."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from raytl.config import Study, TrialConfig
from raytl.errors import CheckpointError, CorruptError, RaytlError, TrainingError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray import trainable
from raytl.sweeping.on_ray.faults import (
    MOST_WAITING,
    FaultTolerantController,
    is_fault,
    surviving_faults,
)
from raytl.sweeping.on_ray.trainable import ERROR, METRICS, Reporter, build_trainable, describe
from raytl.training.checkpoint import FILE_NAME

MakeStudy = Callable[..., Study]


def raised(cause: Exception) -> RayTaskError:
    """Return what a task's caller gets where the task raised `cause`."""
    return RayTaskError("train", "a traceback", cause)


def test_faults_are_of_machines() -> None:
    assert is_fault(ActorDiedError())
    assert is_fault(NodeDiedError("gone"))
    assert is_fault(OutOfMemoryError("the node's"))
    assert is_fault(raised(ActorDiedError()))
    assert is_fault(OSError("no space left"))
    assert is_fault(MemoryError())
    assert is_fault(CheckpointError("cut off"))
    assert is_fault(raised(RaytlError("cannot write: the disk is full")))
    assert is_fault(raised(CorruptError("a shard")))
    assert not is_fault(raised(TrainingError("loss must be finite")))
    assert not is_fault(raised(ValueError("a bug")))
    assert not is_fault(None)


class Untold(FaultTolerantController):
    """A controller without a cluster."""

    def __init__(self) -> None:
        self._resetting_trials: set[Trial] = set()
        self.statuses: list[str] = []

    def _set_trial_status(self, trial: Trial, status: str) -> None:
        self.statuses.append(status)


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The errors that Tune's own controller is given."""
    seen: list[Exception] = []

    def process(self: Any, trial: Trial, exception: Exception) -> None:
        seen.append(exception)

    monkeypatch.setattr(TuneController, "_process_trial_failure", process)
    return seen


def test_a_trial_that_is_lost_before_it_runs_may_be_retried(handed_on: list[Exception]) -> None:
    controller, trial = Untold(), Trial("raytl_trial", stub=True, max_failures=2)
    controller._resetting_trials.add(trial)
    controller._process_trial_failure(trial, ActorDiedError())  # it is pending
    assert (trial.max_failures, controller.statuses) == (2, [Trial.RUNNING])
    assert not controller._resetting_trials
    assert len(handed_on) == 1


def test_no_snapshot_is_kept_but_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        TuneController, "checkpoint", lambda self, force, wait: written.append((force, wait))
    )
    controller = Untold()
    controller.checkpoint()
    controller.checkpoint(wait=True)
    assert written == []
    controller.checkpoint(force=True, wait=True)
    assert written == [(True, True)]


def test_actors_may_wait_for_a_trial_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raises: list[tuple[Any, int]] = []
    cache = SimpleNamespace(increase_max=lambda key, by: raises.append((key, by)))
    monkeypatch.setattr(TuneController, "add_trial", lambda self, trial: self._trials.append(trial))
    controller = Untold()
    monkeypatch.setattr(controller, "_trials", [], raising=False)
    monkeypatch.setattr(controller, "_actor_cache", cache, raising=False)
    for _ in range(3):
        controller.add_trial(trial := Trial("raytl_trial", stub=True))
    assert raises == [(trial.placement_group_factory, MOST_WAITING)]


def test_tune_uses_the_controller_only_while_it_is_told_to() -> None:
    from ray.tune import tune

    with surviving_faults():
        assert tune.TuneController is FaultTolerantController
    assert tune.TuneController is TuneController


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Tune is told."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    return reports


def epochs(told: list[dict[str, Any]]) -> list[int]:
    return [json.loads(report[METRICS])["epoch"] for report in told]


CONFIG = {
    "name": "trial-00000", "phase": "search", "seed": 3, "rows_seed": None, "micro_batches": 1,
    "trial": TrialConfig(source_model="net", frozen_depth="100%").flat(),
}  # fmt: skip


def test_an_error_of_its_own_is_told_once_and_kept(
    tiny_study: MakeStudy,
    tmp_path: Path,
    told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverge(*_: Any) -> None:
        raise TrainingError("loss must be finite,\nbut got nan")

    monkeypatch.setattr(trainable, "_alone", diverge)
    build_trainable(tiny_study(), RunStorage(tmp_path))(CONFIG)
    assert told == [{ERROR: "loss must be finite, but got nan"}]
    assert "in diverge" in (tmp_path / "trial-00000" / "error.txt").read_text()


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left"), ActorDiedError(), MemoryError()]
)
def test_after_a_fault_tune_tries_again(
    tiny_study: MakeStudy,
    tmp_path: Path,
    told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    def lose(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(trainable, "_alone", lose)
    with pytest.raises(type(fault)):
        build_trainable(tiny_study(), RunStorage(tmp_path))(CONFIG)
    assert told == []
    assert not (tmp_path / "trial-00000").exists()


def test_an_error_that_is_not_raytls_has_its_kind() -> None:
    assert describe(TrainingError("a\n  b")) == "a b"
    assert describe(KeyError("width")) == "KeyError: 'width'"


def test_what_a_folder_holds_is_told_again(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    folder = RunStorage(tmp_path).trial("trial-00000")
    report = Reporter(folder, CONFIG, epochs=3)
    assert (report.epoch, report.saved) == (0, None)
    for epoch in (1, 2):
        report({"epoch": epoch}, lambda at: None)
    after_a_loss = Reporter(folder, CONFIG, epochs=3)
    assert after_a_loss.epoch == 2
    assert after_a_loss.saved is not None and after_a_loss.saved.config == CONFIG
    assert told[2:] == told[:2]  # also how long each took
    after_a_loss({"epoch": 3}, lambda at: None)
    seconds = [json.loads(report[METRICS])["seconds"] for report in told[2:]]
    assert seconds == sorted(seconds) and epochs(told) == [1, 2, 1, 2, 3]
    assert [path.name for path in (tmp_path / "trial-00000").iterdir()] == ["checkpoint-00003"]


@pytest.fixture
def whole(tiny_study: MakeStudy) -> Study:
    return tiny_study(train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 3})


def without_times(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    curve = [json.loads(report[METRICS]) for report in told]
    return [{k: v for k, v in metrics.items() if "seconds" not in k} for metrics in curve]


def test_from_a_checkpoint_that_cannot_be_read_a_trial_goes_one_further_back(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_trainable(whole, RunStorage(tmp_path / "calm"))(CONFIG)
    calm = without_times(told)
    assert [metrics["epoch"] for metrics in calm] == [1, 2, 3]

    storage = RunStorage(tmp_path / "run")
    _lose_after(2, whole, storage, monkeypatch)
    newest = storage.newest_checkpoint("trial-00000") / FILE_NAME
    assert newest.parent.name == "checkpoint-00002"
    newest.write_bytes(bytes(newest.stat().st_size))  # its size says nothing
    told.clear()
    build_trainable(whole, storage)(CONFIG)
    assert epochs(told) == [1, 2, 1, 2, 3]  # the driver takes each once
    assert without_times(told)[2:] == calm


def _lose_after(
    epoch: int, study: Study, storage: RunStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train a trial until its process is lost."""

    def report(self: Reporter, metrics: dict[str, Any], save: Any) -> None:
        keep(self, metrics, save)
        if self.epoch == epoch:
            raise ActorDiedError

    keep = Reporter.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "__call__", report)
        with pytest.raises(ActorDiedError):
            build_trainable(study, storage)(CONFIG)


def test_a_trial_whose_every_checkpoint_is_lost_begins_anew(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = RunStorage(tmp_path / "run")
    _lose_after(2, whole, storage, monkeypatch)
    for file in (tmp_path / "run").rglob(FILE_NAME):
        file.write_bytes(bytes(file.stat().st_size))
    told.clear()
    build_trainable(whole, storage)(CONFIG)
    assert epochs(told) == [1, 2, 1, 1, 2, 3]


def test_a_trial_that_is_done_is_told_and_not_trained(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = RunStorage(tmp_path / "run")
    build_trainable(whole, storage)(CONFIG)
    monkeypatch.setattr(trainable, "_train", lambda *_: pytest.fail("trained again"))
    build_trainable(whole, storage)(CONFIG)
    assert told[3:] == told[:3]
