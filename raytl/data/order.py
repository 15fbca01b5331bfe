"""The order in which training rows are read: a function of the seed and the epoch alone, whatever
feed reads them and however much memory it has."""

import numpy as np

from raytl.seeds import seed_for

GLOBAL_ROWS = 2**16  # up to so many rows, any order will do for a disk: page caches hold them
BLOCK_ROWS = 256  # stored rows that are read together, beyond
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
