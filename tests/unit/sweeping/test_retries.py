"""What Tune retries, and what it does not."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from raytl.errors import TrainingError
from raytl.sweeping.faults import FaultTolerantController, is_fault, surviving_faults


def raised(cause: Exception) -> RayTaskError:
    """Return what a task's caller gets where the task raised `cause`."""
    return RayTaskError("train", "a traceback", cause)


def test_faults_are_of_machines() -> None:
    assert is_fault(ActorDiedError())
    assert is_fault(NodeDiedError("gone"))
    assert is_fault(OutOfMemoryError("the node's"))
    assert is_fault(raised(ActorDiedError()))
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


def test_after_a_fault_a_trial_may_be_retried(handed_on: list[Exception]) -> None:
    controller, trial = Untold(), Trial("raytl_trial", stub=True, max_failures=2)
    controller._resetting_trials.add(trial)
    controller._process_trial_failure(trial, ActorDiedError())  # it is pending
    assert (trial.max_failures, controller.statuses) == (2, [Trial.RUNNING])
    assert not controller._resetting_trials
    assert len(handed_on) == 1


def test_an_error_of_its_own_ends_a_trial(handed_on: list[Exception]) -> None:
    controller, trial = Untold(), Trial("raytl_trial", stub=True, max_failures=2)
    controller._process_trial_failure(trial, raised(TrainingError("loss must be finite")))
    assert (trial.max_failures, controller.statuses) == (0, [])
    assert len(handed_on) == 1


def test_tune_uses_the_controller_only_while_it_is_told_to() -> None:
    from ray.tune import tune

    with surviving_faults():
        assert tune.TuneController is FaultTolerantController
    assert tune.TuneController is TuneController
