"""Feeds: endless seeded training batches and one ordered pass for evaluation.

Legend: B batch, H height, W width, C channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import psutil
from torch import Tensor

from raytl.config import AugmentConfig, FeedKind
from raytl.data.dataset import Dataset
from raytl.data.views import RowSource, View
from raytl.ranks import WHOLE, Share

# Mapped shards beyond this share of memory would be read from disk again and again.
RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class Batch:
    """Rows as the shards hold them. `y` is None where the feed is unlabelled. Where a trial has
    several workers, `x` holds this worker's share of the rows, `y` and `id` are of all rows.

    Once `x` has been made what the model reads, `stored` is what it was made from, where another
    network reads these rows too."""

    x: Tensor  # (B, H, W, C), uint8 or float32
    y: Tensor | None  # (B,), int64
    id: Tensor  # (B,), int64
    stored: Tensor | None = None  # as x before


class Feed(Protocol):
    """Batches of some rows of one split. `share` is whose images training batches hold."""

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


def chosen_kind(kind: FeedKind, num_bytes: int) -> Literal["resident", "streaming"]:
    """Resolve `auto`: resident where `num_bytes` take less than half of the memory, used or not.
    Both feeds read the same rows in the same order."""
    if kind != "auto":
        return kind
    fits = num_bytes < RESIDENT_SHARE * psutil.virtual_memory().total
    return "resident" if fits else "streaming"


def make_feed(
    dataset: Dataset,
    split: str,
    *,
    indices: np.ndarray | None,
    labelled: bool,
    batch_size: int,
    seed: int,
    kind: FeedKind = "auto",
    augmented: tuple[AugmentConfig, int] | None = None,
    share: Share = WHOLE,
    view: View | None = None,
) -> Feed:
    """Return a feed over the rows `indices` of a split, or over all of them; where there is a
    `view`, of what that shows.

    With `labelled=False` the label column is never read. `augmented`: how training batches are, and
    the seed that fixes the views where there are such. `share`: the worker's.
    """
    from raytl.data.augmentation import AugmentedFeed, StackedViews, views_of
    from raytl.data.resident import ResidentFeed
    from raytl.data.streaming import StreamingFeed

    part = dataset.split(split)
    seen: RowSource = part if view is None else view.of(part)
    feeds: dict[str, type[ResidentFeed] | type[StreamingFeed]] = {
        "resident": ResidentFeed,
        "streaming": StreamingFeed,
    }
    build = feeds[chosen_kind(kind, part.bytes)]
    rows = np.arange(seen.rows) if indices is None else indices
    options: dict[str, Any] = {
        "labelled": labelled, "batch_size": batch_size, "seed": seed, "share": share
    }  # fmt: skip
    if augmented is None:
        return build(seen, rows, **options)
    views = views_of(*augmented)
    if not views:
        return AugmentedFeed(build(seen, rows, **options), augmented[0], seed)
    stacked = StackedViews([each.of(seen) for each in views])
    return build(stacked, rows, **options, views=len(views))
