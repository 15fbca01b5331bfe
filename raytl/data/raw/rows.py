"""Rows out of raw files, as a model reads them.

Legend: N rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from raytl.data.importers.inputs import Bad, Digest, Input, InputPart, Items, Reading
from raytl.data.importers.options import ShardOptions
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.modalities.column import Column, Values


@dataclass(frozen=True)
class RawReading:
    """How raw files become rows of the `columns` that a model reads: as those became that it was
    trained on, which were imported as `kind` by `options`. `notes`: what of it is not known."""

    columns: Mapping[str, Column]
    kind: str
    options: ShardOptions
    notes: tuple[str, ...] = ()

    @property
    def only(self) -> Column | None:
        """The column, where there is one alone."""
        return next(iter(self.columns.values())) if len(self.columns) == 1 else None


@dataclass(frozen=True)
class RawRows:
    """Rows that are read as they are asked for: what to call each (`called` says what that is: a
    file or a row), an input for each column, and what else should be known."""

    called: str
    names: Sequence[str]
    inputs: Mapping[str, Input]
    skipped: Sequence[str] = field(default_factory=list)  # files that are no rows, and why

    @property
    def columns(self) -> dict[str, Column]:
        """The columns, as these rows have them."""
        return {name: one.column for name, one in self.inputs.items()}

    def read(self, left_out: list[str], *, skip_bad: bool, remedy: str = "") -> Iterator[Chunk]:
        """Yield the rows, some at a time, and their numbers. A bad one is a DataError that ends in
        `remedy`, or with `skip_bad` left out, and what is wrong with it appended to `left_out`."""
        part = InputPart(self.inputs, len(self.names), skip_bad=True)
        for chunk in part.read(left_out):
            if left_out and not skip_bad:
                break
            yield chunk
        if left_out and not skip_bad:
            raise DataError(left_out[0] + remedy)


def raw_input(
    column: Column,
    items: Sequence[Any],
    joined: Callable[[list[Any]], Values],
    read: Callable[[list[Any]], Sequence[Any]] = list,
    shapes: Callable[[list[Any]], list[tuple[int, int]]] | None = None,
) -> Input:
    """Return the input of a column. `items` may hold what is Bad about a row; of the others `read`
    gives a value each, or what is Bad about it. `joined`, `shapes`: as `Reading` has them."""
    reading = Reading(joined, _no_seal, partial(_read, read=read), shapes)
    return Input(column, list(items), reading)


def with_bad(one: Input, bad: Mapping[int, str]) -> Input:
    """Return an input with bad rows at these places of all."""
    items = list(one.items)
    for row in sorted(bad):
        items.insert(row, Bad(bad[row]))
    return replace(one, items=items)


def _read(items: Sequence[Any], read: Callable[[list[Any]], Sequence[Any]]) -> list[Any]:
    found = iter(read([item for item in items if not isinstance(item, Bad)]))
    return [item if isinstance(item, Bad) else next(found) for item in items]


def _no_seal(items: Items, digest: Digest) -> None:
    raise AssertionError("raw rows are read once, and not stored")
