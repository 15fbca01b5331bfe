"""How long a study has yet to go, by what its trials have taken so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

CONFIRM = "confirm"  # the phase after all others
STEP_S = 5  # seconds are told in such steps
MINUTES_FROM_S, HOURS_FROM_S = 90, 90 * 60


@dataclass(frozen=True)
class Phase:
    """How many trials have ended, of how many as far as is known, and the seconds that those took
    that were trained, not recalled."""

    done: int = 0
    of: int = 0
    seconds: tuple[float, ...] = ()

    @property
    def left(self) -> int:
        """How many have not ended."""
        return max(0, self.of - self.done)


def seconds_left(
    phases: Mapping[str, Phase], begun: Sequence[tuple[str, float]], slots: int
) -> float | None:
    """Return the seconds that the trials which are known of will take with so many at once; None
    while none has been timed. `begun`: the phase and the seconds so far of each that is trained
    just now.

    A trial counts as long as those of its phase took on average, or of all where none of its own
    was timed.
    """
    timed = [seconds for phase in phases.values() for seconds in phase.seconds]
    if not timed:
        return None
    mean = {name: fmean(phase.seconds or timed) for name, phase in phases.items()}
    work = sum(phase.left * mean[name] for name, phase in phases.items())
    work -= sum(min(so_far, mean[name]) for name, so_far in begun)
    return max(0.0, work) / max(1, slots)


def searches(phases: Mapping[str, Phase]) -> bool:
    """Whether trials of the search have not ended yet."""
    return any(phase.left for name, phase in phases.items() if name != CONFIRM)


def left_text(phases: Mapping[str, Phase], seconds: float | None, *, further: bool) -> str:
    """Return in words how long it will take. `further`: more rounds of confirmation may come than
    are known of. What is not known of yet comes on top of the seconds, so they are the least."""
    if seconds is None:
        return "not known before the first trial has ended"
    if searches(phases):
        return f"at least {duration(seconds)}, and the best are confirmed after the search"
    if further:
        return f"at least {duration(seconds)}; more seeds while the verdict is open"
    return f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a duration as a person says it: "40 s", "12 min", "3 h 5 min"."""
    if seconds < MINUTES_FROM_S:
        return f"{max(STEP_S, STEP_S * round(seconds / STEP_S))} s"
    minutes = round(seconds / 60)
    if seconds < HOURS_FROM_S:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
