"""What branches are given of a split, by row number.

Legend: N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from raytl.data.dataset import Split
from raytl.data.held_rows import HeldRows
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

    def held(self, rows: np.ndarray) -> "BranchRows":
        """Return these rows, (N,), called by the same numbers, what is read of them held in
        memory."""
        ...


@dataclass(frozen=True)
class ColumnRows:
    """A column's values, seen through a view if there is one, prepared as they are asked for.
    `in_memory`: those that are read, where they are held."""

    split: Split
    column: str
    modality: Modality
    transform: Transform
    view: View | None = None
    in_memory: HeldRows | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.split.rows if self.view is None else len(self.view.rows_of(self.split.rows))

    @property
    def lengths(self) -> np.ndarray | None:
        return None

    def given(self, rows: np.ndarray) -> Given:
        return Given(self.prepared(rows))

    def held(self, rows: np.ndarray) -> "ColumnRows":
        own = rows if self.view is None else self.view.rows_of(self.split.rows)[rows]
        return replace(self, in_memory=self.split.held(own))

    def prepared(self, rows: np.ndarray) -> Rows:
        """Return the rows of these numbers as the transform prepares them and the view shows
        them."""
        prepared = self.transform.prepare(self.values(rows))
        return prepared if self.view is None else self.view.shown(self.modality, prepared, rows)

    def values(self, rows: np.ndarray) -> Values:
        """Return stored values, as the view mixes them."""

        def read(numbers: np.ndarray) -> Values:
            return (self.in_memory or self.split).read(self.column, numbers)

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

    def held(self, rows: np.ndarray) -> "StackedRows":
        """Return the rows of these numbers in a view, held of all of them."""
        return replace(self, views=[view.held(rows) for view in self.views])


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

    def held(self, rows: np.ndarray) -> "RepeatedRows":
        """Return the rows of these numbers in a view, held for all of them."""
        return replace(self, rows=self.rows.held(rows))


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
        return self.rows.given(self._places(rows))

    def held(self, rows: np.ndarray) -> "FewRows":
        return replace(self, rows=self.rows.held(self._places(rows)))

    def _places(self, rows: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self.numbers, rows)
        assert np.array_equal(self.numbers.take(places, mode="clip"), rows), "none but these"
        return places


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

    def held(self, rows: np.ndarray) -> "FeedRows":
        """Return the rows of these numbers, (N,), held in memory once they were read."""
        inputs = {name: of.held(rows) for name, of in self.inputs.items()}
        return replace(self, inputs=inputs, target=self.target and self.target.held(rows))
