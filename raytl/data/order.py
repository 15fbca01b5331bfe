"""The order in which training rows are read: a function of the seed and the epoch alone, whatever
feed reads them and however much memory it has."""

import numpy as np

from raytl.seeds import seed_for

GLOBAL_ROWS = 2**16  # up to so many rows, any order will do for a disk: page caches hold them
BLOCK_ROWS = 256  # stored rows that are read together, beyond
PADDED_TOO_MUCH = 1.3  # positions of batches, relative to their rows' own, where buckets pay
BUCKET_BATCHES = 8  # whose rows are sorted by length together
WINDOW_ROWS = 16 * BLOCK_ROWS  # how far a row is moved at most when rows are shuffled, beyond


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the row numbers `indices`, (N,), in the order of an epoch.

    Up to GLOBAL_ROWS are permuted. Of more, the blocks of all shards are shuffled, then rows within
    a moving window, so that a disk can follow; rows were shuffled once when they were sharded.
    """
    generator = np.random.default_rng(seed_for(seed, "epoch", epoch))
    if len(indices) <= GLOBAL_ROWS:
        return indices[generator.permutation(len(indices))]
    stored = np.sort(indices)
    blocks = np.split(stored, range(BLOCK_ROWS, len(stored), BLOCK_ROWS))
    rows = np.concatenate([blocks[i] for i in generator.permutation(len(blocks))])
    moved = np.arange(len(rows)) + generator.uniform(0, WINDOW_ROWS, len(rows))
    return rows[np.argsort(moved)]


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
