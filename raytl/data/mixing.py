"""Batches of several domains at once."""

import math
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing

from raytl.data.batch import TrainBatch
from raytl.data.feed import Feed, closable


def joint_batches(
    feeds: Mapping[str, Feed], start_step: int = 0
) -> Generator[TrainBatch, None, None]:
    """Yield one batch of every feed at each step, without end: a shorter domain simply starts its
    next epoch earlier. Closed, it closes what the feeds have open, a thread that reads, say."""
    with ExitStack() as opened:
        streams = {
            name: opened.enter_context(closing(closable(feed.train_batches(start_step))))
            for name, feed in feeds.items()
        }
        while True:
            yield TrainBatch(**{name: next(stream) for name, stream in streams.items()})


def steps_per_epoch(feeds: Mapping[str, Feed]) -> int:
    """Return the steps of one pass over the longest feed."""
    return max(math.ceil(feed.rows / feed.batch_size) for feed in feeds.values())
