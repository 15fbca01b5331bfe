"""From stored series to what a network reads.

Legend: B rows, S steps of the longest row, T steps of one row, C channels.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt, model_validator

from raytl.config import Frozen
from raytl.config.base import Finite, Positive
from raytl.modalities.base import Sample, Transform
from raytl.modalities.column import Column, Values
from raytl.modalities.options import facts_of
from raytl.modalities.series.channels import channel_places
from raytl.modalities.series.column import SeriesColumn
from raytl.rows import Padded, padded

EXAMPLE_STEPS = 16


class SeriesOptions(Frozen):
    """`transform:` of a source model for series."""

    per_row: bool = False  # each series scaled by its own mean and deviation, not the data's
    max_length: PositiveInt | None = None  # in steps, of which longer series `keep` some
    keep: Literal["first", "last"] = "first"


class SeriesFacts(SeriesOptions):
    """What a fitted transform is made of."""

    channels: tuple[str, ...]  # in the network's order
    mean: tuple[Finite, ...]  # per channel, of training rows; 0 and 1 with `per_row`
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> "SeriesFacts":
        lengths = {len(self.channels), len(self.mean), len(self.std)}
        if len(lengths) > 1 or not self.channels:
            raise ValueError("channels, mean and std must be as long, and not empty")
        return self


class SeriesTransform(Transform):
    """Channels standardised, by name: another dataset may have them in another order, or more."""

    def __init__(self, facts: SeriesFacts, reads: tuple[int, ...] | None = None) -> None:
        """`reads`: for each of the network's channels, its place in the rows; None: the same."""
        self._facts = facts
        self.channels = facts.channels
        self.max_length = facts.max_length
        self.leaves_last_out = facts.max_length is not None and facts.keep == "first"
        self._mean_C = np.asarray(facts.mean, dtype=np.float64)
        self._std_C = np.asarray(facts.std, dtype=np.float64)
        self._reads = list(range(len(facts.channels)) if reads is None else reads)

    def for_column(self, column: Column) -> "SeriesTransform":
        """Return the same transform for rows of another dataset's column; channels that the network
        does not know are left out. Raises ModelError where it needs one that is not there."""
        assert isinstance(column, SeriesColumn)
        return SeriesTransform(self._facts, channel_places(self.channels, column.channels))

    def prepare(self, values: Values) -> Padded:
        """Return Padded float32 (B, S, C) of series (T, C')."""
        return padded([torch.from_numpy(self._scaled(series)) for series in values])

    def _scaled(self, series: np.ndarray) -> np.ndarray:
        x_TC = _cut(series, self._facts)[:, self._reads].astype(np.float64)
        mean_C, std_C = self._mean_C, self._std_C
        if self._facts.per_row:
            mean_C, std_C = _mean_and_std([x_TC])
        return ((x_TC - mean_C) / std_C).astype(np.float32)

    def facts(self) -> dict[str, Any]:
        return self._facts.model_dump(mode="json")

    def example(self, rows: int) -> Padded:
        steps = min(EXAMPLE_STEPS, self.max_length or EXAMPLE_STEPS)
        return padded([torch.zeros(steps, len(self.channels))] * rows)


def fit_series(options: SeriesOptions, column: SeriesColumn, sample: Sample) -> SeriesTransform:
    """Return the transform whose scale is that of the sample's steps, each counted once, those that
    are kept of a row."""
    channels = column.channels
    mean, std = np.zeros(len(channels)), np.ones(len(channels))
    if not options.per_row:
        mean, std = _mean_and_std([_cut(series, options) for series in sample()])
    return SeriesTransform(
        SeriesFacts(
            **options.model_dump(), channels=channels,
            mean=tuple(mean.tolist()), std=tuple(std.tolist()),
        )
    )  # fmt: skip


def series_transform(facts: Mapping[str, Any]) -> SeriesTransform:
    """Return the transform of these facts; raises ValueError where they are none."""
    return SeriesTransform(facts_of(SeriesFacts, facts))


def _cut(series_TC: np.ndarray, options: SeriesOptions) -> np.ndarray:
    most = options.max_length or len(series_TC)
    return series_TC[-most:] if options.keep == "last" else series_TC[:most]


def _mean_and_std(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's mean and standard deviation over all steps; a channel that is constant,
    up to rounding, has 1, so that it becomes zeros and not noise."""
    steps = np.concatenate(rows).astype(np.float64)
    mean, std = steps.mean(0), steps.std(0)
    constant = std <= 1e-6 * np.abs(mean).clip(min=1e-6)
    return mean, np.where(constant, 1.0, std)
