"""Nodes and a clock that tests set."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass
class Machines:
    """Nodes that have room for a trial's worker each. `least`: nodes that a trial takes."""

    nodes: list[str]
    least: int = 1

    def names(self) -> dict[str, str]:
        return {node: f"host-{node}" for node in self.nodes}

    def fits_without(self, nodes: Collection[str]) -> bool:
        return len(set(self.nodes) - set(nodes)) >= self.least


@dataclass
class Clock:
    """Seconds."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at
