"""Rows of pooled features, as branches are given them.

Legend: N rows.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from raytl.data.dataset import Split
from raytl.data.held_rows import HeldRows
from raytl.rows import Given, Padded, Rows, padded
from raytl.training.feature_store import decode
from raytl.training.pooled import LENGTH, VALUES, FeatureColumn


@dataclass(frozen=True)
class PooledRows:
    """The features of a split, with `done` steps done. `runs`: whether blocks are run on them, so
    that it matters how long they are. `in_memory`: those that are read, where they are held."""

    features: Split
    column: FeatureColumn
    done: int
    runs: bool
    channels_last: bool = False  # as they were encoded
    in_memory: HeldRows | None = None

    @property
    def lengths(self) -> np.ndarray | None:
        if not (self.runs and self.column.ragged):
            return None
        return np.asarray(self.features.all(LENGTH))

    def given(self, rows: np.ndarray) -> Given:
        """Return the features of these rows, (N,), copied out of the mapped shards."""
        found = (self.in_memory or self.features).read(VALUES, rows)
        return Given(self._rows(found), self.done)

    def held(self, rows: np.ndarray) -> "PooledRows":
        return replace(self, in_memory=self.features.held(rows))

    def _rows(self, values: np.ndarray) -> Rows:
        if not self.column.ragged:
            return decode(values, self.channels_last)
        if not len(values):
            nothing = np.zeros((0, 0, *self.column.shape), self.column.dtype)
            return Padded(decode(nothing), torch.zeros((0, 1), dtype=torch.int64))
        return padded([decode(np.ascontiguousarray(row)) for row in values])
