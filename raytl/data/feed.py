"""Feeds: endless seeded training batches and one ordered pass for evaluation."""

from collections.abc import Generator, Iterator
from typing import Literal, Protocol

import psutil

from raytl.config import FeedKind
from raytl.data.batch import Batch
from raytl.ranks import WHOLE, Share

# Mapped shards beyond this share of memory would be read from disk again and again.
RESIDENT_SHARE = 0.5


class Feed(Protocol):
    """Batches of some rows of one split. `share` is whose rows training batches hold."""

    rows: int
    batch_size: int
    share: Share

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Yield batches of exactly `batch_size` rows without end, in a seeded order.

        Batch k is a function of the seed and k alone: `start_step` goes on where a run stopped.
        """
        ...

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        """Yield every row of `share` once in stored order; the last batch may be shorter, and a
        share without rows is one empty batch."""
        ...


def closable(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """Yield a feed's batches; closed, this closes what the feed has open for them, if anything."""
    yield from batches


def chosen_kind(
    kind: FeedKind, num_bytes: int, kept: bool = True
) -> Literal["resident", "streaming", "ray_data"]:
    """Resolve `auto`: resident where `num_bytes` take less than half of the memory, used or not;
    ray_data where they are not all `kept` on a node. All feeds read the same rows in the same
    order."""
    if kind != "auto":
        return kind
    if not kept:
        return "ray_data"
    fits = num_bytes < RESIDENT_SHARE * psutil.virtual_memory().total
    return "resident" if fits else "streaming"
