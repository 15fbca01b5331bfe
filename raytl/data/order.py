"""The order in which training rows are read: a function of the seed and the epoch alone, whatever
feed reads them and however much memory it has."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raytl.seeds import seed_for

# Up to so many rows, in so many bytes, any order will do: a page cache or a node's disk holds them.
GLOBAL_ROWS, GLOBAL_BYTES = 2**16, 2**34
WINDOW_ROWS = 2**14  # of shards that are read together, at least, beyond
PADDED_TOO_MUCH = 1.3  # positions of batches, relative to their rows' own, where buckets pay
BUCKET_BATCHES = 8  # whose rows are sorted by length together


@dataclass(frozen=True)
class Layout:
    """How a split's rows are stored. `ends_S`: how many rows stand in the shards up to each;
    `bytes`: of all shards."""

    ends_S: np.ndarray
    bytes: int

    @classmethod
    def together(cls, rows: int) -> "Layout":
        """Return rows that stand in one place, in memory say."""
        return cls(np.array([rows]), 0)


def epoch_order(indices: np.ndarray, layout: Layout, seed: int, epoch: int) -> np.ndarray:
    """Return the row numbers `indices`, (N,), in the order of an epoch.

    Few rows are permuted. Of more, the shards are shuffled, and the rows of as many shards as have
    WINDOW_ROWS rows permuted together, so that no more than two such windows must be at hand at
    once; rows were shuffled once when they were sharded.
    """
    generator = np.random.default_rng(seed_for(seed, "epoch", epoch))
    if len(indices) <= GLOBAL_ROWS and layout.bytes <= GLOBAL_BYTES:
        return indices[generator.permutation(len(indices))]
    rows = np.sort(indices)
    cuts = np.searchsorted(rows, layout.ends_S[:-1])
    parts = [part for part in np.split(rows, cuts) if len(part)]
    return np.concatenate(
        [
            window[generator.permutation(len(window))]
            for window in _windows([parts[i] for i in generator.permutation(len(parts))])
        ]
    )


def _windows(parts: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Join neighbours until they have WINDOW_ROWS rows."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= WINDOW_ROWS:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def buckets_pay(lengths_N: np.ndarray, batch_size: int) -> bool:
    """Whether batches of rows in any order, padded to their longest, are so much larger than their
    rows that `bucketed` is worth it. `lengths_N`: of the rows."""
    batches = [lengths_N[i : i + batch_size] for i in range(0, len(lengths_N), batch_size)]
    padded = sum(len(batch) * int(batch.max()) for batch in batches)
    return padded > PADDED_TOO_MUCH * int(lengths_N.sum())


def bucketed(
    rows: np.ndarray, lengths_N: np.ndarray, batch_size: int, seed: int, epoch: int
) -> np.ndarray:
    """Return `rows`, (N,), an epoch's order, so that a batch has rows of similar lengths: within
    windows of BUCKET_BATCHES batches they are sorted by length, and the batches shuffled. A
    function of the order, the seed and the epoch alone.

    Batches run across epochs: the first rows fill the batch that the epoch before has begun, and
    what is left over begins the next one's.
    """
    generator = np.random.default_rng(seed_for(seed, "buckets", epoch))
    start = -(epoch * len(rows)) % batch_size
    window, full = BUCKET_BATCHES * batch_size, (len(rows) - start) // batch_size * batch_size
    found = [np.arange(min(start, len(rows)))]
    for first in range(start, start + full, window):
        part = np.arange(first, min(first + window, start + full))
        part = part[np.argsort(lengths_N[part], kind="stable")]
        batches = np.split(part, range(batch_size, len(part), batch_size))
        found += [batches[i] for i in generator.permutation(len(batches))]
    found.append(np.arange(max(start + full, len(found[0])), len(rows)))
    return rows[np.concatenate(found)]
