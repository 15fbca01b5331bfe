"""What Tune retries, and what it does not."""

from types import SimpleNamespace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError
from ray.tune.experiment import Trial

from raytl.errors import TrainingError
from raytl.sweeping.faults import SurviveFaults, SurvivingTrial, is_fault


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
    assert issubclass(ActorDiedError, ray.exceptions.RayError)


def new_trial() -> Trial:
    nowhere: Any = SimpleNamespace(trial_driver_staging_path=None)
    return Trial("raytl_trial", stub=True, max_failures=2, storage=nowhere)


def test_a_trial_is_retried_after_faults_and_not_after_its_own_errors() -> None:
    trial = new_trial()
    callback = SurviveFaults()
    callback.on_step_begin(0, [trial])
    callback.on_step_begin(1, [trial])
    assert type(trial) is SurvivingTrial
    for _ in range(2):
        trial.handle_error(ActorDiedError())
        assert trial.should_recover()
    preempted = ActorDiedError()
    preempted._preempted = True
    trial.handle_error(preempted)
    assert trial.should_recover(), "a preemption does not count"
    trial.handle_error(ActorDiedError())
    assert not trial.should_recover(), "one fault more than max_failures"

    other = new_trial()
    callback.on_step_begin(2, [trial, other])
    other.handle_error(raised(TrainingError("loss must be finite")))
    assert not other.should_recover()
