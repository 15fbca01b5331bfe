"""The streaming feed, for shards larger than memory: near rows are read at about the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from raytl.data.feed import Batch
from raytl.data.resident import ResidentFeed
from raytl.seeds import seed_for

BLOCK_ROWS = 256  # stored rows that are read together
WINDOW_ROWS = 16 * BLOCK_ROWS  # how far a row is moved at most when rows are shuffled


class StreamingFeed(ResidentFeed):
    """Reads as the resident feed does, in an order that the disk and the page cache can follow:
    each epoch shuffles the blocks of all shards, then rows within a moving window, both seeded.
    The next batch is read while one is trained on."""

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        batches = super().train_batches(start_step)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(next, batches)
            while True:
                batch = ahead.result()
                ahead = reader.submit(next, batches)
                yield batch

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng(seed_for(self._seed, "epoch", epoch))
        stored = np.sort(self._indices)
        blocks = np.split(stored, range(BLOCK_ROWS, self.rows, BLOCK_ROWS))
        rows = np.concatenate([blocks[i] for i in generator.permutation(len(blocks))])
        moved = np.arange(self.rows) + generator.uniform(0, WINDOW_ROWS, self.rows)
        return rows[np.argsort(moved)]
