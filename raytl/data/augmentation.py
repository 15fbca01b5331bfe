"""Random augmentation of training rows, drawn anew in each step."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from raytl.config import AugmentConfig
from raytl.data.batch import Batch
from raytl.data.feed import Feed
from raytl.data.target_rows import Reading
from raytl.modalities.base import Modality
from raytl.modalities.image.augmentation import DRAWS
from raytl.ranks import WHOLE, Share
from raytl.rows import Given
from raytl.seeds import seed_for


class AugmentedFeed:
    """A feed whose training batches are augmented, each by draws of its own step: in all branches
    that can be, alike, and in targets that are read with their rows."""

    def __init__(
        self,
        feed: Feed,
        config: AugmentConfig,
        seed: int,
        branches: Mapping[str, Modality],
        reading: Reading | None = None,
    ) -> None:
        """`branches`: those whose rows can be augmented; `reading`: how targets are."""
        self.rows, self.batch_size, self.share = feed.rows, feed.batch_size, feed.share
        self._feed, self._config, self._seed, self._branches = feed, config, seed, branches
        self._reading = reading

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(self._feed.train_batches(start_step), start_step):
            generator = np.random.default_rng(seed_for(self._seed, "augment", step))
            draws = self.share.of(generator.random((len(batch.id), DRAWS)))
            target = batch.target
            if target is not None and batch.own_target:
                assert self._reading is not None
                target = self._reading.augmented(target, self._config, draws)
            yield replace(batch, inputs=batch.inputs | self._augmented(batch, draws), target=target)

    def _augmented(self, batch: Batch, draws_B3: np.ndarray) -> dict[str, Given]:
        found = {}
        for name, modality in self._branches.items():
            given = batch.inputs[name]
            assert given.done == 0
            rows = modality.augmented(given.rows, self._config, draws_B3)
            found[name] = replace(given, rows=rows)
        return found

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return self._feed.eval_batches(batch_size, share)
