"""Rows of a split that a process holds in memory.

Legend: K rows.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from raytl.modalities.column import Values


class SplitRows(Protocol):
    """A split that rows are read from."""

    def read(self, column: str, rows: np.ndarray) -> Values:
        """Return the values of a column in the rows of these numbers."""
        ...


@dataclass(frozen=True, eq=False)
class HeldRows:
    """Some rows, read at first use and held in memory from then on: few, of which each is read
    again and again while its shard comes and goes. `numbers`: which, (K,), sorted."""

    split: SplitRows
    numbers: np.ndarray
    _values: dict[str, Values] = field(default_factory=dict, init=False)

    def read(self, column: str, rows: np.ndarray) -> Values:
        """Return the values of rows that must be among those that are held."""
        places = np.searchsorted(self.numbers, rows)
        assert np.array_equal(self.numbers.take(places, mode="clip"), rows), "none but these"
        if column not in self._values:
            self._values[column] = self.split.read(column, self.numbers)
        return self._values[column][places]
