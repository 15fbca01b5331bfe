"""The resident feed: memory-mapped shards, batched index reads."""

from collections.abc import Iterator

import numpy as np
import torch

from raytl.data.feed import Batch
from raytl.data.order import epoch_order
from raytl.data.views import RowSource
from raytl.ranks import WHOLE, Share
from raytl.seeds import seed_for


class ResidentFeed:
    """Reads rows by index. Each epoch has a seeded order of its own; batches run across epochs, so
    that all have `batch_size` rows even where the split has fewer."""

    def __init__(
        self,
        split: RowSource,
        indices: np.ndarray,
        *,
        labelled: bool,
        batch_size: int,
        seed: int,
        views: int = 1,
        share: Share = WHOLE,
    ) -> None:
        """`views`: how many views of each row `split` has; each epoch draws one for every row."""
        self.rows, self.batch_size, self.share = len(indices), batch_size, share
        self._split, self._indices, self._views = split, indices, views
        self._labelled, self._seed = labelled, seed

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        position = start_step * self.batch_size
        epoch, offset = divmod(position, self.rows)
        order = self._drawn(epoch)[offset:]
        while True:
            while len(order) < self.batch_size:
                epoch += 1
                order = np.concatenate([order, self._drawn(epoch)])
            yield self._batch(order[: self.batch_size], self.share)
            order = order[self.batch_size :]

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        rows = share.of(self._indices)
        for start in range(0, max(1, len(rows)), batch_size):
            yield self._batch(rows[start : start + batch_size], WHOLE)

    def _drawn(self, epoch: int) -> np.ndarray:
        if self._views == 1:
            return epoch_order(self._indices, self._seed, epoch)
        generator = np.random.default_rng(seed_for(self._seed, "view", epoch))
        view_of = generator.integers(self._views, size=self.rows)
        return view_of * self._split.rows + epoch_order(self._indices, self._seed, epoch)

    def _batch(self, rows: np.ndarray, share: Share) -> Batch:
        x = torch.from_numpy(self._split.images(share.of(rows)))
        y = torch.from_numpy(self._split.labels()[rows]) if self._labelled else None
        return Batch(x, y, torch.from_numpy(self._split.ids()[rows]))
