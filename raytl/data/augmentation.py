"""Random augmentation of training rows: drawn anew in each step, or as a fixed number of views.

Legend: B batch, H height, W width, C channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from raytl.config import AugmentConfig
from raytl.data.feed import Batch, Feed
from raytl.data.views import RowSource
from raytl.ranks import WHOLE, Share
from raytl.seeds import seed_for

DRAWS = 3  # of each row: whether it is flipped, and where it is cropped


def augment(images_BHWC: np.ndarray, config: AugmentConfig, draws_B3: np.ndarray) -> np.ndarray:
    """Return the images flipped left to right (half of them) and shifted by up to `config.crop`
    pixels, what comes in from outside black. `draws_B3`: uniform in [0, 1)."""
    out = images_BHWC
    if config.flip:
        flipped_B = draws_B3[:, 0] < 0.5
        out = np.where(flipped_B[:, None, None, None], out[:, :, ::-1], out)
    if config.crop:
        pad = config.crop
        padded = np.pad(out, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        down_B, right_B = (draws_B3[:, 1:] * (2 * pad + 1)).astype(np.int64).T
        rows = down_B[:, None, None] + np.arange(out.shape[1])[None, :, None]
        columns = right_B[:, None, None] + np.arange(out.shape[2])[None, None, :]
        out = padded[np.arange(len(out))[:, None, None], rows, columns]
    return np.ascontiguousarray(out)


class AugmentedFeed:
    """A feed whose training batches are augmented, each by draws of its own step."""

    def __init__(self, feed: Feed, config: AugmentConfig, seed: int) -> None:
        self.rows, self.batch_size, self.share = feed.rows, feed.batch_size, feed.share
        self._feed, self._config, self._seed = feed, config, seed

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(self._feed.train_batches(start_step), start_step):
            generator = np.random.default_rng(seed_for(self._seed, "augment", step))
            draws = self.share.of(generator.random((len(batch.id), DRAWS)))
            x = torch.from_numpy(augment(batch.x.numpy(), self._config, draws))
            yield replace(batch, x=x)

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return self._feed.eval_batches(batch_size, share)


@dataclass(frozen=True)
class AugmentedView:
    """One fixed augmentation of every row of a split."""

    config: AugmentConfig
    seed: int
    number: int

    @property
    def key(self) -> Sequence[object]:
        """What the view depends on."""
        return [self.config.flip, self.config.crop, self.seed, self.number]

    def of(self, split: RowSource) -> "ViewedRows":
        return ViewedRows(split, self)


class ViewedRows:
    """A split whose images are seen through a view."""

    def __init__(self, split: RowSource, view: AugmentedView) -> None:
        self.rows, self._split, self._config = split.rows, split, view.config
        generator = np.random.default_rng(seed_for(view.seed, "view", view.number))
        self._draws = generator.random((split.rows, DRAWS))

    def images(self, indices: np.ndarray) -> np.ndarray:
        index = np.asarray(indices, dtype=np.int64)
        return augment(self._split.images(index), self._config, self._draws[index])

    def labels(self) -> np.ndarray:
        return self._split.labels()

    def ids(self) -> np.ndarray:
        return self._split.ids()


class StackedViews:
    """Several views of one split: row r of view v has the number v·rows + r."""

    def __init__(self, views: Sequence[RowSource]) -> None:
        self.rows, self._views = views[0].rows, views

    def images(self, indices: np.ndarray) -> np.ndarray:
        view_of, rows = np.divmod(np.asarray(indices, dtype=np.int64), self.rows)
        parts = [self._views[v].images(rows[view_of == v]) for v in np.unique(view_of)]
        out = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
        for v, part in zip(np.unique(view_of), parts, strict=True):
            out[view_of == v] = part
        return out

    def labels(self) -> np.ndarray:
        return np.tile(self._views[0].labels(), len(self._views))

    def ids(self) -> np.ndarray:
        return np.tile(self._views[0].ids(), len(self._views))


def views_of(config: AugmentConfig, seed: int) -> list[AugmentedView]:
    """Return the views that `config` asks for; `seed` is the study's, so that trials share them."""
    return [AugmentedView(config, seed, number) for number in range(config.views or 0)]
