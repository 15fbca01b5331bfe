"""What is to be learnt of rows, by row number.

Legend: N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from raytl.config import AugmentConfig
from raytl.data.dataset import Split
from raytl.data.held_rows import HeldRows
from raytl.data.views import AugmentedView
from raytl.modalities.column import Values
from raytl.rows import Rows, cut, join


class Reading(Protocol):
    """How targets become tensors; a task is one."""

    def prepare(self, values: Values) -> Rows:
        """Return stored targets as tensors on the CPU, rows first."""
        ...

    def augmented(self, target: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Rows:
        """Return prepared targets as they are once their rows' images were augmented; see
        `modalities.image.augmentation`."""
        ...


class TargetRows(Protocol):
    """The targets of a split, or of views of it, numbered as its inputs are. `own`: whether each
    worker reads those of its own rows alone, for they are large."""

    @property
    def own(self) -> bool: ...

    def given(self, rows: np.ndarray) -> Rows:
        """Return the targets of the rows of these numbers, (N,), on the CPU."""
        ...

    def held(self, rows: np.ndarray) -> "TargetRows":
        """Return the targets of these rows, (N,), what is read of them held in memory."""
        ...


@dataclass(frozen=True)
class HeldTargets:
    """A class or value for each row, (N,), in memory; every view of a row has the row's."""

    target_N: np.ndarray
    own = False

    def given(self, rows: np.ndarray) -> Rows:
        return torch.from_numpy(self.target_N[rows % len(self.target_N)])

    def held(self, rows: np.ndarray) -> "HeldTargets":
        return self


@dataclass(frozen=True)
class ReadTargets:
    """Targets that are read with their rows. Where rows have several `views`, row r of view v has
    the number v·rows + r. `in_memory`: those that are read, where they are held."""

    split: Split
    column: str
    reading: Reading
    views: Sequence[AugmentedView] = ()
    in_memory: HeldRows | None = None
    own = True

    def given(self, rows: np.ndarray) -> Rows:
        if not self.views or not len(rows):
            return self._read(rows)
        view_of, own = np.divmod(rows, self.split.rows)
        order = np.argsort(view_of, kind="stable")
        parts = [self._seen(self.views[v], own[view_of == v]) for v in np.unique(view_of)]
        return cut(join(parts), torch.from_numpy(np.argsort(order)))

    def held(self, rows: np.ndarray) -> "ReadTargets":
        return replace(self, in_memory=self.split.held(rows))

    def _read(self, rows: np.ndarray) -> Rows:
        return self.reading.prepare((self.in_memory or self.split).read(self.column, rows))

    def _seen(self, view: AugmentedView, rows: np.ndarray) -> Rows:
        return self.reading.augmented(self._read(rows), view.config, view.draws(rows))
