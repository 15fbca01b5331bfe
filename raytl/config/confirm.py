"""The confirmation of a study's best trials."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from raytl.config.base import Frozen, Positive, bounds_of, number_or_range

LEAST_SEEDS = 3  # a variance over two tells next to nothing
Seeds = Annotated[int | tuple[int, int], number_or_range("seeds", LEAST_SEEDS)]


class ConfirmConfig(Frozen):
    """The retraining of the best trials, and the one look at the test split."""

    top: PositiveInt = 3
    # Retrainings of each: a number, or [fewest, most] for more only while nothing is decided
    seeds: Seeds = (3, 8)
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # confidence of the intervals
    # Smaller differences count as none: in points of the metric; of log loss in hundredths of a
    # nat; of errors in the target's unit, in per cent of the test targets' standard deviation
    margin: Positive = 1.0
    # With `labels: N`, whether each seed draws labelled rows of its own; auto: where there are more
    redraw: Literal["auto"] | bool = "auto"

    @property
    def seed_counts(self) -> tuple[int, int]:
        """The fewest and the most retrainings of a configuration."""
        return bounds_of(self.seeds)
