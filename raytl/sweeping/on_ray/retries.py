"""Which trials are tried again, when and where: as pure bookkeeping.

A trial is tried again after a fault of a machine, and where one look does not tell whose fault an
error was; it ends where the same error comes at the same step on a second node. From a node where
one trial after another fails all others stay away for a while.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from raytl.sweeping.on_ray.faults import Failure

MOST_FAULTS = 16  # that one trial survives without getting any further
MOST_ALIKE = 4  # errors alike, at whatever steps, before they are the trial's after all
MOST_HERE = 2  # of these on one node, before the trial stays away from it
MOST_IN_A_ROW = 3  # on one node, of two trials at least, before all stay away from it
AWAY_S = 1800.0  # so long
LONGEST_DELAY_S = 300.0  # what is slow or full may be so for a while


class Machines(Protocol):
    """The nodes that have room for a trial's worker."""

    def names(self) -> Mapping[str, str]:
        """Return how a person calls each, by Ray's id."""
        ...

    def fits_without(self, nodes: Collection[str]) -> bool:
        """Whether a trial still has room where it stays away from these."""
        ...


@dataclass(frozen=True)
class Verdict:
    """What is to be done. "own": the trial's own error ends it; `sure`: it would come again
    anywhere. "again": after `delay` seconds. "given up": machines cannot train it just now."""

    then: Literal["own", "again", "given up"]
    sure: bool = False
    delay: float = 0.0


@dataclass
class _Node:
    failed: list[str] = field(default_factory=list)  # trials, since the last good epoch here
    away_until: float = 0.0


class Retries:
    """What was seen of trials and nodes so far."""

    def __init__(self, machines: Machines, now: Callable[[], float] = time.monotonic) -> None:
        self._machines, self._now = machines, now
        self._faults: dict[str, list[Failure]] = {}  # since the trial got further
        self._nodes: dict[str, _Node] = {}
        self._newly_away: list[str] = []  # as a person calls them

    def got_further(self, trial: str, node: str | None) -> None:
        """Note that a trial has trained an epoch that it had not before."""
        self._faults.pop(trial, None)
        if node in self._nodes and node not in self.away:  # else it may be another of its GPUs
            del self._nodes[node]

    def judge(self, trial: str, failure: Failure) -> Verdict:
        """Return what is to be done about a trial that failed."""
        if failure.kind == "own":
            return Verdict("own", sure=True)
        faults = self._faults.setdefault(trial, [])
        if failure.kind == "doubtful":
            ends = self._comes_again(failure, faults)
            if ends is not None:
                return ends
        faults.append(failure)
        self._note(failure, trial)
        if len(faults) > MOST_FAULTS:
            return Verdict("given up")
        if failure.kind == "doubtful" or len(faults) == 1:
            return Verdict("again")
        return Verdict("again", delay=min(2.0 ** (len(faults) - 1), LONGEST_DELAY_S))

    def _comes_again(self, failure: Failure, faults: list[Failure]) -> Verdict | None:
        """Return how a trial ends whose doubtful error has come again; None where that is open."""
        same = [each for each in faults if each.symptom == failure.symptom]
        if any(each.node != failure.node for each in same):
            # Before the first step, what all nodes lack may look like an error of the trial.
            return Verdict("own", sure=failure.step is not None)
        # Where GPUs round otherwise, each may come to the same at a step of its own.
        if sum(each.name == failure.name for each in faults) >= MOST_ALIKE - 1:
            return Verdict("own")
        if failure.node is not None and self._machines.fits_without({failure.node}):
            return None
        # There is no other node to ask. A number comes out again, where only this one computes it.
        alike = failure.name == "TrainingError" or bool(same)
        return Verdict("own") if alike else None

    def _note(self, failure: Failure, trial: str) -> None:
        if failure.node is None:
            return
        node = self._nodes.setdefault(failure.node, _Node())
        node.failed.append(trial)
        many = len(node.failed) >= MOST_IN_A_ROW and len(set(node.failed)) > 1
        away, known = {*self.away, failure.node}, self._machines.names()
        # Where most nodes fail, what is wrong is not the nodes.
        if many and failure.node in known and 2 * len(away) <= len(known):
            self._nodes[failure.node] = _Node(away_until=self._now() + AWAY_S)
            self._newly_away.append(known[failure.node])

    def newly_away(self) -> list[str]:
        """Return, once, how a person calls the nodes that all have come to stay away from."""
        found, self._newly_away = self._newly_away, []
        return found

    @property
    def away(self) -> list[str]:
        """The nodes that all trials stay away from just now."""
        known = self._machines.names()
        return sorted(
            name
            for name, of in self._nodes.items()
            if of.away_until > self._now() and name in known
        )

    def avoided(self, trial: str) -> tuple[str, ...]:
        """Return the nodes that a trial is to stay away from, as far as it fits elsewhere."""
        faults = self._faults.get(trial, [])
        here = [each.node for each in faults if each.node is not None]
        own = {node for node in here if here.count(node) >= MOST_HERE}
        if faults and faults[-1].kind == "doubtful":
            own |= {faults[-1].node} - {None}  # type: ignore[arg-type]
        alive = self._machines.names()
        own &= set(alive)
        for nodes in ({*own, *self.away}, own, set(self.away)):
            if nodes and self._machines.fits_without(nodes):
                return tuple(sorted(nodes))
        return ()
