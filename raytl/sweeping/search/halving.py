"""Early stopping whose decisions do not depend on timing.

Trials stand in an order. At a rung a trial is compared with those before it that came to that rung,
and with no other, however far others are by then. While one of them is not there yet the decision
waits and the trial trains on; if it is cut in the end, what it did beyond the rung does not count.
So each decision is a function of the curves alone, and nobody ever waits for another.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from statistics import fmean, median
from typing import Protocol

import numpy as np

from raytl.config import Study

# A control's try so little behind is no straw man: in the objective's own unit, which is a share of
# rows, nats or the like, or as a share of the better one's where that is the target's unit
CLOSE = 0.05
REDUCTION = 3  # of successive halving: a rung has so many times the epochs of the one before
LEAST_RIVALS = 4  # of the median rule
Curve = Mapping[int, float]  # epoch → value, more is better


class Rule(Protocol):
    """Who stays at a rung. `rungs`: epochs, rising, none of them the last one."""

    @property
    def rungs(self) -> tuple[int, ...]: ...

    def stays(self, rung: int, own: Curve, rivals: Sequence[Curve]) -> bool:
        """Whether the trial with the curve `own` trains on after `rung` epochs. `rivals`: of those
        before it that came to this rung."""
        ...


@dataclass(frozen=True)
class Everyone:
    """Nobody is stopped."""

    rungs: tuple[int, ...] = ()

    def stays(self, rung: int, own: Curve, rivals: Sequence[Curve]) -> bool:
        return True


@dataclass(frozen=True)
class Halving:
    """Successive halving in order: who is below the best third of those before is cut.

    ASHA (Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2)
    without its dependence on who came first: rungs at `grace` times 3^k epochs.
    """

    rungs: tuple[int, ...]

    @classmethod
    def of(cls, epochs: int) -> "Halving":
        """Return the rungs of a budget of `epochs`."""
        grace = max(1, epochs // 4)
        rungs = (grace * REDUCTION**k for k in count())
        return cls(tuple(takewhile(lambda rung: rung < epochs, rungs)))

    def stays(self, rung: int, own: Curve, rivals: Sequence[Curve]) -> bool:
        values = [rival[rung] for rival in rivals if not math.isnan(rival[rung])]
        if not values:
            return True
        return own[rung] >= float(np.percentile(values, 100 * (1 - 1 / REDUCTION)))


@dataclass(frozen=True)
class Median:
    """The median rule in order (Golovin et al. 2017, "Google Vizier", section 3.2.2): who has never
    been as good as the median of the others' means so far is cut, at every epoch from a quarter of
    them on, where there are LEAST_RIVALS others."""

    rungs: tuple[int, ...]

    @classmethod
    def of(cls, epochs: int) -> "Median":
        """Return the rungs of a budget of `epochs`."""
        return cls(tuple(range(max(1, epochs // 4), epochs)))

    def stays(self, rung: int, own: Curve, rivals: Sequence[Curve]) -> bool:
        if len(rivals) < LEAST_RIVALS:
            return True
        means = [fmean(_until(rival, rung)) for rival in rivals]
        means = [mean for mean in means if not math.isnan(mean)]
        numbers = [value for value in _until(own, rung) if not math.isnan(value)]
        return not means or max(numbers, default=-math.inf) >= median(means)


def _until(curve: Curve, rung: int) -> list[float]:
    return [value for epoch, value in curve.items() if epoch <= rung]


@dataclass(frozen=True)
class Tries:
    """The learning rates of one control (Jamieson & Talwalkar 2016, in order): after a quarter of
    the epochs a third of them may go, after half of them all but half of those left. A try goes
    where so many before it were better by more than CLOSE, which is `relative` or not."""

    most: Mapping[int, int]
    relative: bool = False

    @classmethod
    def of(cls, epochs: int, tries: int, *, relative: bool = False) -> "Tries":
        """Return the rungs of `tries` with a budget of `epochs` each."""
        first = tries - tries // 3
        most = {math.ceil(epochs / 4): first, math.ceil(epochs / 2): math.ceil(first / 2)}
        return cls({epoch: left for epoch, left in most.items() if epoch < epochs}, relative)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which tries are compared."""
        return tuple(self.most)

    def stays(self, rung: int, own: Curve, rivals: Sequence[Curve]) -> bool:
        value = -math.inf if math.isnan(own[rung]) else own[rung]
        return sum(self._ahead(rival[rung], value) for rival in rivals) < self.most[rung]

    def _ahead(self, rival: float, value: float) -> bool:
        return rival > value + CLOSE * (abs(rival) if self.relative else 1.0)


def rule_of(study: Study) -> Rule:
    """Return the rule that the study's searched trials are stopped by."""
    kinds: dict[str, Callable[[int], Rule]] = {
        "asha": Halving.of,
        "median": Median.of,
        "none": lambda epochs: Everyone(),
    }
    return kinds[study.search.scheduler](study.train.epochs)


@dataclass
class _Run:
    judged_after: int  # rungs up to this epoch do not apply
    curve: dict[int, float] = field(default_factory=dict)
    ended: bool = False
    passed: int = 0  # rungs that it has passed
    cut: int | None = None


class Ladder:
    """The rungs of trials in their order, and who is cut where."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._runs: list[_Run] = []
        self._decided = 0  # all before this place are settled
        self._came_of_settled: dict[int, list[Curve]] = {rung: [] for rung in rule.rungs}

    def add(self, judged_after: int = 0) -> int:
        """Add the next trial, which is not judged up to that epoch; return its place."""
        self._runs.append(_Run(judged_after))
        return len(self._runs) - 1

    def report(self, place: int, epoch: int, value: float) -> None:
        """Note a trial's value after an epoch; more is better."""
        self._runs[place].curve[epoch] = value

    def end(self, place: int) -> None:
        """Note that nothing more comes of a trial."""
        self._runs[place].ended = True

    def cut(self, place: int) -> int | None:
        """Return after which epoch a trial is cut, as far as that is known."""
        self._decide()
        return self._runs[place].cut

    def undecided(self, place: int) -> int | None:
        """Return the rung that is to be decided next of a trial; None where there is none left."""
        self._decide()
        run = self._runs[place]
        return None if run.cut is not None else self._next_rung(run)

    def settled(self, place: int) -> bool:
        """Whether it is known what counts of a trial."""
        self._decide()
        return self._is_settled(self._runs[place])

    def _is_settled(self, run: _Run) -> bool:
        return run.cut is not None or (run.ended and self._next_rung(run) is None)

    def _decide(self) -> None:
        """Take every decision that can be taken. One pass will do: a trial's decisions hang on
        those before it alone."""
        for place in range(self._decided, len(self._runs)):
            run = self._runs[place]
            while run.cut is None and (rung := self._next_rung(run)) is not None:
                rivals = self._rivals(place, rung) if rung in run.curve else None
                if rivals is None:
                    break
                if self._rule.stays(rung, run.curve, rivals):
                    run.passed += 1
                else:
                    run.cut = rung
            if place == self._decided and self._is_settled(run):
                self._decided += 1
                for rung, came in self._came_of_settled.items():
                    if self._came(run, rung):
                        came.append(run.curve)

    def _next_rung(self, run: _Run) -> int | None:
        """Return the rung that is to be decided next; None where there is none any more."""
        rungs = [rung for rung in self._rule.rungs if rung > run.judged_after][run.passed :]
        if not rungs or (run.ended and rungs[0] not in run.curve):
            return None
        return rungs[0]

    def _rivals(self, place: int, rung: int) -> list[Curve] | None:
        """Return the curves of those before that came to the rung; None while that is not known."""
        found = self._came_of_settled[rung].copy()
        for rival in self._runs[self._decided : place]:
            came = self._came(rival, rung)
            if came is None:
                return None
            if came:
                found.append(rival.curve)
        return found

    def _came(self, run: _Run, rung: int) -> bool | None:
        if rung <= run.judged_after:
            return False
        if run.cut is not None and run.cut < rung:
            return False
        pending = self._next_rung(run)
        if pending is not None and pending < rung and run.cut is None:
            return None
        if rung in run.curve:
            return True
        return False if run.ended else None
