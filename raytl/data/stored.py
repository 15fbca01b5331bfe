"""Rows that are to be stored: chunks that were read, and parts that are not read yet.

Legend: N rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from raytl.modalities.column import Values
from raytl.urls import Place

# Does to each what there is to do, in order and as it is asked for: `map`, or tasks of a cluster.
# What is done is a function of a module, or a `partial` of one, which other processes can take.
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class Chunk(NamedTuple):
    """Some rows of a split, in the order in which they are stored."""

    values: dict[str, Values]  # by column
    places_N: np.ndarray  # where each row stands in its source, from 0; gaps allowed
    # By column of images that were fitted: the (H, W) of each before it was, where that is kept
    shapes: Mapping[str, Sequence[tuple[int, int]]] = MappingProxyType({})


Chunks = Iterable[Chunk]


class Part(Protocol):
    """Rows that one process reads: it holds what there is to know of these rows alone, and goes to
    another process so."""

    def read(self, left_out: list[str]) -> Iterator[Chunk]:
        """Yield the rows; what becomes of a bad one its options say: a DataError, or it is left
        out and its message appended to `left_out`."""

    def digest(self) -> str:
        """Return what changes where another row or file is to be read, in hexadecimal digits."""


# Takes where a shard starts and its part, and returns one that can be read
Readable = Callable[[int, Part], Part]


@dataclass(frozen=True)
class Work:
    """How a split is cut: `rows` a shard; and who does what is to be done before its shards can be
    read, in a `folder` for what is needed until the dataset is whole."""

    rows: int
    folder: Place
    each: Each


@dataclass(frozen=True)
class StoredRows:
    """A split that is read in parts. `places_N`: where each row stands in its source, 0 … N-1, in
    the order in which they are stored; `part` takes places in that order, start and stop. With
    `gathered` parts cannot be read yet: what it returns makes them so."""

    places_N: np.ndarray
    part: Callable[[int, int], Part]
    gathered: "Callable[[Work], Readable] | None" = None

    def chunks(self) -> Iterator[Chunk]:
        """Yield all of it; a bad row is left out in silence, or raises."""
        yield from self.part(0, len(self.places_N)).read([])
