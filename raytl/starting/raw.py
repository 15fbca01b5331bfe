"""Raw data as they were recognised, and the `raytl shard` that reads them."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from raytl.data.importers.options import flag
from raytl.data.split_names import parts_of
from raytl.folders import printable

TEST_SHARE = 0.2  # of the rows of train, where there is no test split
LEAST_GROUPS = 2  # that are tested on: fewer have no interval


@dataclass(frozen=True)
class Wanted:
    """What the person who asks says of raw data, where it cannot be seen. `unlabelled`: whether
    rows may lack the target."""

    target: str | None = None
    pattern: str | None = None
    unlabelled: bool = False


@dataclass(frozen=True)
class Raw:
    """`kind`, `source` and `options`: of `raytl shard`. `what`: what was recognised, as sentences
    say it. `notes`: what was decided that nobody asked for."""

    kind: str
    source: str
    options: dict[str, Any]
    what: str
    notes: tuple[str, ...] = field(default=())

    def with_test_of(self, splits: Iterable[str], groups: int | None = None) -> "Raw":
        """Return the same with a test split cut off where the source, which has these splits, has
        nothing to test on. `groups`: how many there are whose rows stay in one split; two of them
        at least are tested on."""
        if parts_of(splits).test is not None:
            return self
        share = TEST_SHARE
        if groups is not None and groups * share < LEAST_GROUPS:
            share = min(0.5, math.ceil(100 * LEAST_GROUPS / groups) / 100)
        return replace(self, options=self.options | {"test": share})

    def command(self, out: str) -> str:
        """Return the command that writes the dataset, as a shell takes it."""
        words = ["raytl", "shard", self.kind, printable(self.source), out]
        for name, value in self.options.items():
            words += _words(name, value)
        return shlex.join(words)


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for key, to in value.items() for word in (flag(name), f"{key}={to}")]
    if value is True:
        return [flag(name)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (flag(name), str(one))]
