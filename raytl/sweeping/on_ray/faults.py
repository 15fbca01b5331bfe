"""What happens to machines, against what is wrong with a trial itself.

A lost actor or node, a full disk or a corrupt copy is a fault: the trial goes on from its last
checkpoint, elsewhere where it must. An error of the trial's own would come again and ends it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from ray.exceptions import RayError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from raytl.errors import RaytlError, TrainingError, UserError

# Faults that one trial survives, besides announced preemptions, which do not count.
MOST_FAULTS = 16
MOST_WAITING = 1_000  # actors that may wait for a trial: all of them


def is_fault(error: Exception | None) -> bool:
    """Whether the error comes from the machines: an actor, a node or an object was lost, Ray itself
    failed, a file could not be read or written, or a GPU is not to be seen. Of raytl's own errors
    these are all but those that training or the user's choice is to blame for."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RaytlError):
        return not isinstance(cause, UserError | TrainingError)
    return isinstance(cause, RayError | OSError | MemoryError)


class FaultTolerantController(TuneController):
    """Tune's controller, with three of its ways mended: a trial that is lost while its actor is
    being prepared would be given up; an actor whose slot waits for a trial would be ended, though a
    new one takes many seconds to start; and all would be written down again and again."""

    def _process_trial_failure(self, trial: Trial, exception: Any) -> None:
        if trial.status == Trial.PENDING:
            self._resetting_trials.discard(trial)
            self._set_trial_status(trial, Trial.RUNNING)
        super()._process_trial_failure(trial, exception)

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Keep no snapshot but the last: nobody reads any, and with many trials each takes
        seconds."""
        if force:
            super().checkpoint(force, wait)

    def add_trial(self, trial: Trial) -> None:
        super().add_trial(trial)
        if len(self._trials) == 1:  # all have the same resources
            self._actor_cache.increase_max(trial.placement_group_factory, by=MOST_WAITING)


@contextlib.contextmanager
def surviving_faults() -> Iterator[None]:
    """Let what Tune runs meanwhile be run by a FaultTolerantController: it has no option for it."""
    with patch("ray.tune.tune.TuneController", FaultTolerantController):
        yield
