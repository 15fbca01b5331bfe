"""A trial survives what happens to machines, but not what is wrong with itself.

Tune counts every error of a trial alike: either all are retried or none. Here a lost actor or node
is a fault, after which the trial goes on from its last checkpoint; an error that the trial raised
would come again and ends it.
"""

from typing import Any

from ray.exceptions import RayError, RaySystemError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial

# Faults that one trial survives, besides announced preemptions, which do not count.
MOST_FAULTS = 16


def is_fault(error: Exception | None) -> bool:
    """Whether the error comes from the machines: an actor, a node or an object was lost, or Ray
    itself failed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return isinstance(cause, RayError | RaySystemError)


class SurvivingTrial(Trial):
    """A trial of Tune that is retried after faults only."""

    retriable: bool = True

    def handle_error(self, exc: Any = None) -> None:
        super().handle_error(exc)
        self.retriable = is_fault(exc)

    def should_recover(self) -> bool:
        return self.retriable and super().should_recover()


class SurviveFaults(Callback):
    """Makes every trial a SurvivingTrial: Tune builds its trials itself."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        for trial in trials:
            if type(trial) is Trial:
                trial.__class__ = SurvivingTrial
