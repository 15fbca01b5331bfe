"""What importers share that bring no files: demos' data, in two domains each, which SOURCE names.

Legend: N rows.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from raytl.config import nearest
from raytl.data.importers.base import CHUNK, Imported, shuffled
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.modalities.column import Column, Values

OfSplit = Mapping[str, Values]  # by column


def domain_of(kind: str, source: str | None, known: Sequence[str]) -> str:
    """Return the domain that SOURCE names; raises DataError that names the nearest known one."""
    if source is None or source not in known:
        given = source or ""
        raise DataError(f"shard {kind}: no domain '{given}'; {nearest(given, list(known))}")
    return source


def in_memory(columns: Mapping[str, Column], splits: Mapping[str, OfSplit]) -> Imported:
    """Shuffle rows that are in memory already, and cut them into chunks."""
    counts = {split: len(next(iter(values.values()))) for split, values in splits.items()}
    chunks = {
        split: list(_chunks(split, values, counts[split])) for split, values in splits.items()
    }
    return Imported(columns, chunks, sum(counts.values()))


def _chunks(split: str, values: OfSplit, rows: int) -> Iterator[Chunk]:
    order = shuffled(rows, split)
    for start in range(0, rows, CHUNK):
        places = order[start : start + CHUNK]
        yield Chunk({name: of_rows[places] for name, of_rows in values.items()}, places)


def balanced_labels(rows: int, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Return class numbers (N,) in an order drawn at random, each class as often as the others."""
    return generator.permutation(np.arange(rows) % classes)
