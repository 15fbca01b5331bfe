"""What must hold of names, columns and rows before they are stored."""

from collections.abc import Iterable, Mapping

import numpy as np

from raytl.data.group_column import GroupColumn
from raytl.data.schema import column_name, plain_name
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.modalities.column import BadRowError, Column


def check_names(splits: Iterable[str]) -> None:
    """Raise DataError for a split whose name is not plain."""
    for name in splits:
        try:
            plain_name(name)
        except ValueError as error:
            raise DataError(f"{error}, got '{name}'; rename it") from None


def check_columns(columns: Mapping[str, Column]) -> None:
    """Raise DataError for a name that is not plain, and for a second column of groups."""
    for name in columns:
        try:
            column_name(name)
        except ValueError as error:
            raise DataError(f"{error}; rename it") from None
    groups = [name for name, column in columns.items() if isinstance(column, GroupColumn)]
    if len(groups) > 1:
        raise DataError(
            f"a dataset has one column of groups at most, got {', '.join(groups)}; leave out all "
            "but one"
        )


def check_chunk(chunk: Chunk, columns: Mapping[str, Column], split: str) -> None:
    """Raise DataError for the first row whose values do not fit their columns."""
    for name, column in columns.items():
        values = chunk.values[name]
        if len(values) != len(chunk.places_N):
            raise DataError(
                f"split {split}: {len(chunk.places_N)} rows but {len(values)} in column {name}"
            )
        try:
            column.check(values)
        except BadRowError as error:
            place = int(chunk.places_N[error.row])
            raise DataError(f"split {split}: column {name}: {error.at(place)}") from None
        except ValueError as error:
            raise DataError(f"split {split}: column {name}: {error}") from None


class Apart:
    """In which split each group stands: rows of one must not be on two sides."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        found = ((n, c.groups) for n, c in columns.items() if isinstance(c, GroupColumn))
        self._column: str | None
        self._column, groups = next(found, (None, 0))
        self._split_of = np.full(groups, -1)
        self._splits: list[str] = []

    def check(self, groups_N: np.ndarray, split: str) -> None:
        """Raise DataError for the first of a split's groups that stands in an earlier one too."""
        if self._column is None:
            return
        if split not in self._splits:
            self._splits.append(split)
        here = len(self._splits) - 1
        bad = np.flatnonzero((self._split_of[groups_N] >= 0) & (self._split_of[groups_N] != here))
        if len(bad):
            group = groups_N[bad[0]]
            other = self._splits[self._split_of[group]]
            raise DataError(
                f"a group must stand in one split alone, but {group} of column {self._column} has "
                f"rows in {other} and {split}; move its rows, or leave the group out"
            )
        self._split_of[groups_N] = here
