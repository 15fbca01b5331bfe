"""Fixed views of a split: each shows the same images every time, so that features of them can be
stored.

Legend: N rows, H height, W width, C channels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from raytl.data.transforms import pixels


class RowSource(Protocol):
    """What is read by row number: a split, a view of one, or features that stand for its images."""

    rows: int

    def images(self, indices: Any) -> np.ndarray: ...
    def labels(self) -> np.ndarray: ...
    def ids(self) -> np.ndarray: ...


class View(Protocol):
    """A fixed way to see a split."""

    @property
    def key(self) -> Sequence[object]:
        """What the view depends on, ready for JSON."""
        ...

    def of(self, split: RowSource) -> RowSource:
        """Return what the view shows of a split."""
        ...


@dataclass(frozen=True, eq=False)
class MixedView:
    """Some rows of a split, each mixed with another of them: share·own + (1 - share)·partner."""

    rows: np.ndarray  # (N,), their numbers within the split
    partners: np.ndarray  # (N,), positions in `rows`
    share: float

    @classmethod
    def drawn(cls, rows: np.ndarray, share: float, seed: int) -> "MixedView":
        """Return a view in which each of `rows` is the partner of one other, drawn with `seed`."""
        order = np.random.default_rng(seed).permutation(len(rows))
        partners = np.empty_like(order)
        partners[order] = np.roll(order, 1)
        return cls(rows, partners, share)

    @property
    def key(self) -> Sequence[object]:
        pairs = np.stack([self.rows, self.rows[self.partners]]).astype("<i8")
        return ["mixed", self.share, hashlib.sha256(pairs.tobytes()).hexdigest()]

    def of(self, split: RowSource) -> RowSource:
        return MixedRows(split, self)


class MixedRows:
    """Rows of a split seen through a mixed view; labels and ids are those of the own images."""

    def __init__(self, split: RowSource, view: MixedView) -> None:
        self.rows, self._split, self._view = len(view.rows), split, view

    def images(self, indices: Any) -> np.ndarray:
        """Return float32 images_NHWC, in [0, 1] where the split has uint8."""
        index, view = np.asarray(indices, dtype=np.int64), self._view
        own, partner = (
            pixels(torch.from_numpy(self._split.images(view.rows[positions])))
            for positions in (index, view.partners[index])
        )
        return (view.share * own + (1.0 - view.share) * partner).numpy()

    def labels(self) -> np.ndarray:
        return self._split.labels()[self._view.rows]

    def ids(self) -> np.ndarray:
        return self._split.ids()[self._view.rows]
