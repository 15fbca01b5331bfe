"""The resident feed: memory-mapped shards, batched index reads."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from raytl.data.batch import Batch
from raytl.data.branch_rows import FeedRows
from raytl.data.order import bucketed, buckets_pay, epoch_order
from raytl.ranks import WHOLE, Share
from raytl.rows import Inputs
from raytl.seeds import seed_for


class ResidentFeed:
    """Reads rows by index. Each epoch has a seeded order of its own; batches run across epochs, so
    that all have `batch_size` rows even where the split has fewer."""

    def __init__(
        self,
        source: FeedRows,
        indices: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        views: int = 1,
        share: Share = WHOLE,
    ) -> None:
        """`views`: how many views of each row `source` has; each epoch draws one for every row."""
        self.rows, self.batch_size, self.share = len(indices), batch_size, share
        self._source, self._indices, self._views, self._seed = source, indices, views, seed
        lengths = source.lengths if views == 1 else None
        pays = lengths is not None and buckets_pay(lengths[indices], batch_size)
        self._lengths = lengths if pays else None

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        return (self._batch(rows, self.share) for rows in self.train_rows(start_step))

    def train_rows(self, start_step: int = 0) -> Iterator[np.ndarray]:
        """Yield the row numbers of each step, (B,), without end: a function of the seed and the
        step alone, whoever reads them."""
        position = start_step * self.batch_size
        epoch, offset = divmod(position, self.rows)
        order = self._drawn(epoch)[offset:]
        while True:
            while len(order) < self.batch_size:
                epoch += 1
                order = np.concatenate([order, self._drawn(epoch)])
            yield order[: self.batch_size]
            order = order[self.batch_size :]

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return (self._batch(rows, WHOLE) for rows in self.eval_rows(batch_size, share))

    def eval_rows(self, batch_size: int, share: Share) -> Iterator[np.ndarray]:
        """Yield the row numbers of the batches of `eval_batches`."""
        rows = share.of(self._indices)
        for start in range(0, max(1, len(rows)), batch_size):
            yield rows[start : start + batch_size]

    def _drawn(self, epoch: int) -> np.ndarray:
        if self._views == 1:
            order = epoch_order(self._indices, self._source.layout, self._seed, epoch)
            if self._lengths is None:
                return order
            return bucketed(order, self._lengths[order], self.batch_size, self._seed, epoch)
        generator = np.random.default_rng(seed_for(self._seed, "view", epoch))
        view_of = generator.integers(self._views, size=self.rows)
        count = len(self._source.id_N)
        return view_of * count + epoch_order(self._indices, self._source.layout, self._seed, epoch)

    def _batch(self, rows: np.ndarray, share: Share) -> Batch:
        own = share.of(rows)
        inputs = {name: branch.given(own) for name, branch in self._source.inputs.items()}
        return self._with_targets(inputs, rows, own)

    def _with_targets(self, inputs: Inputs, rows: np.ndarray, own: np.ndarray) -> Batch:
        targets = self._source.target
        if targets is None:
            return Batch(inputs, None, self._ids(rows))
        target = targets.given(own if targets.own else rows)
        return Batch(inputs, target, self._ids(rows), targets.own)

    def _ids(self, rows: np.ndarray) -> Tensor:
        id_N = self._source.id_N
        return torch.from_numpy(id_N[rows % len(id_N)])  # a row's views have its id
