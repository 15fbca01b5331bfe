"""What a cluster computes of prefix features before the trials. No torch here: it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tap:
    """Features after the first `depth` blocks of a branch, stored under `key`. `pools`: after the
    pooling too, where these are all blocks."""

    depth: int
    pools: bool
    key: str


@dataclass(frozen=True)
class PoolTask:
    """Features of one branch's column in one split, at several depths of one pass, the shortest
    first. `trial`: dotted keys of a trial that has the branch, frozen as deep as the last of them;
    `column`: as the study calls it."""

    trial: Mapping[str, Any]
    branch: str
    column: str
    of_source: bool
    split: str
    taps: tuple[Tap, ...]

    def shares_branch(self, other: "PoolTask") -> bool:
        """Whether both are of the same branch of the same trial."""
        return (self.trial, self.branch) == (other.trial, other.branch)
