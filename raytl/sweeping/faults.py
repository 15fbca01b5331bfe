"""A trial survives what happens to machines, but not what is wrong with itself.

Tune counts every error of a trial alike: either all are retried or none. Here a lost actor or node
is a fault, after which the trial goes on from its last checkpoint; an error that the trial raised
would come again and ends it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from ray.exceptions import RayError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

# Faults that one trial survives, besides announced preemptions, which do not count.
MOST_FAULTS = 16


def is_fault(error: Exception | None) -> bool:
    """Whether the error comes from the machines: an actor, a node or an object was lost, or Ray
    itself failed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return isinstance(cause, RayError)


class FaultTolerantController(TuneController):
    """Tune's controller, which retries trials after faults only, up to their `max_failures`."""

    def _process_trial_failure(self, trial: Trial, exception: Any) -> None:
        if not is_fault(exception):
            trial.max_failures = 0
        elif trial.status == Trial.PENDING:
            # Lost while its actor was being prepared: Tune would give the trial up.
            self._resetting_trials.discard(trial)
            self._set_trial_status(trial, Trial.RUNNING)
        super()._process_trial_failure(trial, exception)


@contextlib.contextmanager
def surviving_faults() -> Iterator[None]:
    """Let what Tune runs meanwhile be run by a FaultTolerantController: it has no option for it."""
    with patch("ray.tune.tune.TuneController", FaultTolerantController):
        yield
