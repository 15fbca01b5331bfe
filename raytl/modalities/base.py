"""What a wing is: a column, its transform, its networks.

Legend: B rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from raytl.config import AugmentConfig, SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.column import Column, Values
from raytl.rows import Rows

Sample = Callable[[], Values]  # values of training rows, to fit a transform to; read when called


class Transform(ABC):
    """From a column's stored values to what one network reads; deterministic, and of this network
    alone: another one has another size, tokenizer or scale.

    It has two halves. `prepare` runs once for each row, on the CPU (strings become token numbers,
    sound a spectrogram); `__call__` runs on every batch, on the batch's own device (pixels are
    scaled and resized).
    """

    # Whether prepared rows are worth keeping: they are, unless `prepare` costs next to nothing.
    keeps_prepared: ClassVar[bool] = True
    # Whether the last steps of longer rows are not read
    leaves_last_out = False

    @abstractmethod
    def prepare(self, values: Values) -> Rows:
        """Return stored values as tensors on the CPU, rows first. Raises DataError for values that
        this network cannot read."""

    def __call__(self, rows: Rows) -> Rows:
        """Return what the network's first block takes, of prepared rows."""
        return rows

    def for_column(self, column: Column) -> "Transform":
        """Return the same transform as it reads rows of `column`, which may be another than the one
        that it was made for. Raises ModelError where that cannot be."""
        return self

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return all that the transform is made of, ready for JSON: `source.json` holds it, and it
        is part of the key of what is stored of its rows."""

    @abstractmethod
    def example(self, rows: int) -> Rows:
        """Return prepared rows like those of real data, blank ones, to try a network on."""


class Modality(ABC):
    """A wing. One instance of each stands in `modalities.registry.MODALITIES`."""

    name: ClassVar[str]
    column: ClassVar[type[Column]]
    # Whose versions its transforms and networks hang on, besides torch's and numpy's
    packages: ClassVar[tuple[str, ...]] = ()
    # Training rows of each domain that its transforms are fitted to, at most
    most_fitted: ClassVar[int] = 50_000
    # Whether two rows can be averaged, as MixVal does with images
    mixes: ClassVar[bool] = False
    # What of `train.augment` changes its rows, of flip and crop
    augments: ClassVar[frozenset[str]] = frozenset()

    def augmented(self, rows: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Rows:
        """Return prepared rows as `config` changes them, where this modality `augments`. What is
        drawn of a row: `draws_B3`, uniform in [0, 1)."""
        return rows

    @abstractmethod
    def backbones(self) -> Mapping[str, Any]:
        """Return what can be built by name, with fresh weights."""

    @abstractmethod
    def check(self, config: SourceModelConfig) -> None:
        """Raise ModelError where a source model cannot be what its configuration says, as far as
        that can be seen without data and without reading weights: an unknown backbone, a file that
        is not there, an option that this modality has not."""

    @abstractmethod
    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> Transform:
        """Return the transform of a source model for rows of `column`; what has to be fitted
        (vocabulary, scale) is fitted to `sample`. Raises ModelError where they do not fit."""

    @abstractmethod
    def transform(self, facts: Mapping[str, Any]) -> Transform:
        """Return the transform that `Transform.facts` was taken of. Raises ValueError, a sentence,
        where the facts are none."""

    @abstractmethod
    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        """Build a network with fresh weights, drawn from torch's global generator, that reads what
        `transform` gives. Raises ModelError for an unknown name or argument."""

    @abstractmethod
    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        """Build the network of a configuration that has weights (a file's, a hub's), and load them.

        Raises ModelError where they do not fit, CorruptError where they are broken, RaytlError
        where a download fails.
        """

    def fresh_blocks(self, config: SourceModelConfig, backbone: Backbone) -> frozenset[int]:
        """Return the blocks of a configuration's network in which nothing was learnt before."""
        return frozenset(range(len(backbone.blocks))) if config.is_fresh else frozenset()

    def adapted(
        self,
        backbone: Backbone,
        transform: Transform,
        args: Mapping[str, Any],
        column: Column,
        sample: Sample,
    ) -> tuple[Backbone, Transform, str | None]:
        """Return a source model's network and transform as they read rows of `column`, which may be
        another than the one that they were made for, and what is to be known of that, if anything.
        Weights that have to be new are drawn from torch's global generator. Raises ModelError where
        the column cannot be read."""
        return backbone, transform.for_column(column), None

    def stem(
        self, config: SourceModelConfig, column: Column, sample: Sample
    ) -> tuple[Transform, dict[str, Any]]:
        """Return the transform in front of a fresh stem that makes tokens of this modality's rows,
        for a body that another modality brings, and the arguments by which `tokens` builds it.
        Raises ModelError where there is none."""
        raise ModelError(f"graft: there is no stem that makes tokens of {self.name} rows")

    def tokens(self, transform: Transform, width: int, args: Mapping[str, Any]) -> nn.Module:
        """Build that stem: what `transform` gives → Padded (B, S, `width`)."""
        raise ModelError(f"graft: there is no stem that makes tokens of {self.name} rows")

    def compared(self, target: Column, source: Column) -> str | None:
        """Return what a person is to know of how a column of the target differs from the source
        domain's, if anything. Raises ConfigError where nothing of one is in the other."""
        return None

    def mix(self, own: Values, partner: Values, share: float) -> Values:
        """Return share·own + (1 - share)·partner, for a modality that mixes."""
        raise NotImplementedError(f"{self.name} rows cannot be mixed")
