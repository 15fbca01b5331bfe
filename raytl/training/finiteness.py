"""Whether what was trained with was finite: told at once where the host computes itself, and one
step late where a device computes beside it, so that the host waits for no step that still runs.

Legend: N trials that train together, 1 of a trial alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from raytl import devices
from raytl.devices import begin_read

Step = TypeVar("Step")


@dataclass(frozen=True)
class NotFinite(Generic[Step]):
    """A `step` in which some trials' loss or gradient was not finite; their numbers."""

    step: Step
    trials: list[int]


class Finiteness(Generic[Step]):
    """Looks at step after step. `late`: whether a step is told of when the next one is looked at.

    Late, a device is asked for the update of a step before the host knows whether that is sound; so
    the device itself must leave it out where it is not: see `update_if_finite`.
    """

    def __init__(self, device: torch.device) -> None:
        self.late = devices.runs_beside(device)
        self._pending: tuple[Callable[[], list[Any]], Step] | None = None

    def look(self, finite_N: Tensor, step: Step) -> NotFinite[Step] | None:
        """Take note of a step, and return the one that is known now if it was not finite."""
        before, self._pending = self._pending, (begin_read(finite_N.reshape(-1)), step)
        return _told(before) if self.late else self.settle()

    def settle(self) -> NotFinite[Step] | None:
        """Wait for the last step, and return it if it was not finite."""
        last, self._pending = self._pending, None
        return _told(last)


def _told(pending: tuple[Callable[[], list[Any]], Step] | None) -> NotFinite[Step] | None:
    if pending is None:
        return None
    read, step = pending
    trials = [number for number, finite in enumerate(read()) if not finite]
    return NotFinite(step, trials) if trials else None


def update_if_finite(optimizer: Optimizer, finite: Tensor) -> None:
    """Take the optimiser's step where `finite`, a scalar on the device, is true; else leave weights
    and the optimiser's state as they are. Nobody waits to find out: fused optimisers take such a
    flag, as `torch.amp.GradScaler` gives it to them."""
    optimizer.found_inf = finite.logical_not().float()  # type: ignore[attr-defined]
    optimizer.step()
