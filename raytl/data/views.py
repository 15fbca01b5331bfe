"""Fixed views of a split: each shows the same rows every time, so that features of them can be
stored.

Legend: N rows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from raytl.config import AugmentConfig
from raytl.modalities.base import Modality
from raytl.modalities.column import Read, Values
from raytl.modalities.image.augmentation import DRAWS
from raytl.rows import Rows
from raytl.seeds import seed_for


class View(Protocol):
    """A fixed way to see a split."""

    @property
    def key(self) -> Sequence[object]:
        """What the view depends on, ready for JSON."""
        ...

    def rows_of(self, rows: int) -> np.ndarray:
        """Return which row of a split of `rows` rows each row of the view stands for, (N,)."""
        ...

    def values(self, modality: Modality, read: Read, rows: np.ndarray) -> Values:
        """Return the values of the view's rows of these numbers; `read` reads the split's."""
        ...

    def shown(self, modality: Modality, prepared: Rows, rows: np.ndarray) -> Rows:
        """Return the view's rows of these numbers as they are shown, once they are prepared."""
        ...


@dataclass(frozen=True, eq=False)
class MixedView:
    """Some rows of a split, each mixed with another of them: share·own + (1 - share)·partner.
    What they are labelled with is the own row's."""

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

    def rows_of(self, rows: int) -> np.ndarray:
        return self.rows

    def values(self, modality: Modality, read: Read, rows: np.ndarray) -> Values:
        own, partner = (read(self.rows[at]) for at in (rows, self.partners[rows]))
        return modality.mix(own, partner, self.share)

    def shown(self, modality: Modality, prepared: Rows, rows: np.ndarray) -> Rows:
        return prepared


@dataclass(frozen=True)
class AugmentedView:
    """One fixed augmentation of every row of a split; what cannot be augmented stays as it is."""

    config: AugmentConfig
    seed: int
    number: int

    @property
    def key(self) -> Sequence[object]:
        return [self.config.flip, self.config.crop, self.seed, self.number]

    def rows_of(self, rows: int) -> np.ndarray:
        return np.arange(rows)

    def values(self, modality: Modality, read: Read, rows: np.ndarray) -> Values:
        return read(rows)

    def shown(self, modality: Modality, prepared: Rows, rows: np.ndarray) -> Rows:
        return modality.augmented(prepared, self.config, self.draws(rows))

    def draws(self, rows: np.ndarray) -> np.ndarray:
        """Return what was drawn for rows, (N, DRAWS), uniform in [0, 1)."""
        generator = np.random.default_rng(seed_for(self.seed, "view", self.number))
        # A row's draws come behind those of all rows before it, whichever rows are asked for.
        return generator.random((int(rows.max(initial=-1)) + 1, DRAWS))[rows]


@dataclass(frozen=True, eq=False)
class SomeRows:
    """Some rows of a split, or of a `view` of it, as they are there."""

    rows: np.ndarray  # (N,), their numbers there
    view: View | None = None

    @property
    def key(self) -> Sequence[object]:
        digest = hashlib.sha256(self.rows.astype("<i8").tobytes()).hexdigest()
        return ["rows", digest, self.view and list(self.view.key)]

    def rows_of(self, rows: int) -> np.ndarray:
        return self.rows if self.view is None else self.view.rows_of(rows)[self.rows]

    def values(self, modality: Modality, read: Read, rows: np.ndarray) -> Values:
        own = self.rows[rows]
        return read(own) if self.view is None else self.view.values(modality, read, own)

    def shown(self, modality: Modality, prepared: Rows, rows: np.ndarray) -> Rows:
        if self.view is None:
            return prepared
        return self.view.shown(modality, prepared, self.rows[rows])


def views_of(config: AugmentConfig, seed: int) -> list[AugmentedView]:
    """Return the views that `config` asks for; `seed` is the study's, so that trials share them."""
    return [AugmentedView(config, seed, number) for number in range(config.views or 0)]
