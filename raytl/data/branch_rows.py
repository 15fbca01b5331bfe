"""What branches are given of a split, by row number.

Legend: N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from raytl.data.dataset import Split
from raytl.data.order import Layout
from raytl.data.target_rows import TargetRows
from raytl.data.views import View
from raytl.modalities.base import Modality, Transform
from raytl.modalities.column import Values
from raytl.rows import Given, Rows, join_given


class BranchRows(Protocol):
    """The rows of a split, or of a view of it, as one branch is given them."""

    @property
    def lengths(self) -> np.ndarray | None:
        """The true size of every row, where they differ and are known."""
        ...

    def given(self, rows: np.ndarray) -> Given:
        """Return the rows of these numbers, (N,), on the CPU."""
        ...


@dataclass(frozen=True)
class ColumnRows:
    """A column's values, seen through a view if there is one, prepared as they are asked for."""

    split: Split
    column: str
    modality: Modality
    transform: Transform
    view: View | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.split.rows if self.view is None else len(self.view.rows_of(self.split.rows))

    @property
    def lengths(self) -> np.ndarray | None:
        return None

    def given(self, rows: np.ndarray) -> Given:
        return Given(self.prepared(rows))

    def prepared(self, rows: np.ndarray) -> Rows:
        """Return the rows of these numbers as the transform prepares them and the view shows
        them."""
        prepared = self.transform.prepare(self.values(rows))
        return prepared if self.view is None else self.view.shown(self.modality, prepared, rows)

    def values(self, rows: np.ndarray) -> Values:
        """Return stored values, as the view mixes them."""

        def read(numbers: np.ndarray) -> Values:
            return self.split.read(self.column, numbers)

        return read(rows) if self.view is None else self.view.values(self.modality, read, rows)


@dataclass(frozen=True)
class StackedRows:
    """Several views of one split: row r of view v has the number v·count + r."""

    views: Sequence[BranchRows]
    count: int

    @property
    def lengths(self) -> np.ndarray | None:
        return None

    def given(self, rows: np.ndarray) -> Given:
        """Return the rows, each of its view."""
        if not len(rows):
            return self.views[0].given(rows)
        view_of, own = np.divmod(rows, self.count)
        order = np.argsort(view_of, kind="stable")
        parts = [self.views[v].given(own[view_of == v]) for v in np.unique(view_of)]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return join_given(parts).cut(torch.from_numpy(back))


@dataclass(frozen=True)
class RepeatedRows:
    """A split that looks alike in every view: row r of any view v has the number v·count + r."""

    rows: BranchRows
    count: int

    @property
    def lengths(self) -> np.ndarray | None:
        return None

    def given(self, rows: np.ndarray) -> Given:
        return self.rows.given(rows % self.count)


@dataclass(frozen=True)
class FewRows:
    """Rows that have but some of a split's, called by their numbers there. `numbers`: which, (N,),
    sorted; `count`: how many rows the split has."""

    rows: BranchRows
    numbers: np.ndarray
    count: int

    @property
    def lengths(self) -> np.ndarray | None:
        """The true size of every row of the split, 0 where it is none of these."""
        own = self.rows.lengths
        if own is None:
            return None
        lengths = np.zeros(self.count, own.dtype)
        lengths[self.numbers] = own
        return lengths

    def given(self, rows: np.ndarray) -> Given:
        places = np.searchsorted(self.numbers, rows)
        assert np.array_equal(self.numbers.take(places, mode="clip"), rows), "none but these"
        return self.rows.given(places)


class HeldRows:
    """Some rows, read at first use and held in memory from then on: few, of which each is read
    again and again while its shard comes and goes."""

    lengths = None

    def __init__(self, rows: BranchRows, numbers: np.ndarray) -> None:
        self._rows, self._numbers = rows, np.sort(numbers)
        self._held: Given | None = None

    def given(self, rows: np.ndarray) -> Given:
        """Return the rows, which must be among those that are held."""
        if self._held is None:
            self._held = self._rows.given(self._numbers)
        return self._held.cut(torch.from_numpy(np.searchsorted(self._numbers, rows)))


@dataclass(frozen=True)
class FeedRows:
    """All that a feed reads: each branch's rows, targets unless they are not to be seen, ids (N,),
    and how the rows are stored. Where rows have several views, branches number them view after
    view."""

    inputs: Mapping[str, BranchRows]
    target: TargetRows | None
    id_N: np.ndarray
    layout: Layout

    @property
    def lengths(self) -> np.ndarray | None:
        """How long each row is in all branches whose rows differ in size; None without such."""
        known = [rows.lengths for rows in self.inputs.values() if rows.lengths is not None]
        return np.sum(known, axis=0) if known else None
