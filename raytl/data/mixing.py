"""Batches of several domains at once."""

import math
from collections.abc import Iterator, Mapping

from raytl.data.batch import TrainBatch
from raytl.data.feed import Feed


def joint_batches(feeds: Mapping[str, Feed], start_step: int = 0) -> Iterator[TrainBatch]:
    """Yield one batch of every feed at each step, without end: a shorter domain simply starts its
    next epoch earlier."""
    streams = {name: feed.train_batches(start_step) for name, feed in feeds.items()}
    while True:
        yield TrainBatch(**{name: next(stream) for name, stream in streams.items()})


def steps_per_epoch(feeds: Mapping[str, Feed]) -> int:
    """Return the steps of one pass over the longest feed."""
    return max(math.ceil(feed.rows / feed.batch_size) for feed in feeds.values())
