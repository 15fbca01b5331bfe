"""Regression: one value a row.

Legend: B batch, N rows; K is 1.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import MetricName, TaskName
from raytl.errors import DataError
from raytl.modalities.column import Column
from raytl.predictions import Predictions
from raytl.scoring.regression import absolute_error_quantiles, residuals
from raytl.tasks.base import Predicted, Targets, Task
from raytl.tasks.columns import ValueColumn, deviation, has_target


class Regression(Task):
    """The squared error of standardised values: the head gives (value - mean) / std, so that a
    learning rate means the same whatever the target's unit and zero are."""

    name: ClassVar[TaskName] = "regression"
    scored_by: ClassVar[MetricName] = "r2"
    shown: ClassVar[tuple[str, ...]] = ("r2",)
    figures: ClassVar[tuple[str, ...]] = ("residuals", "error_quantiles")
    no_target: ClassVar[int | float] = math.nan

    def __init__(self, column: ValueColumn, mean: float, std: float) -> None:
        """`mean` and `std`: of the fitted rows, in the target's unit. Raises ValueError where they
        are no finite numbers, std > 0."""
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"mean must be finite and std > 0, got mean={mean:g}, std={std:g}")
        self.column: ValueColumn = column
        self.mean, self.std = mean, std

    @classmethod
    def fitted(cls, column: ValueColumn, parts: Iterable[Targets]) -> "Regression":
        """Return the task with the mean and standard deviation of the rows' values, (N,) each.
        Raises DataError where they are all alike, far too large, or none is there."""
        targets = np.concatenate([*parts, np.zeros(0)])
        known = targets[has_target(targets)].astype(np.float64)
        std = deviation(known)
        if not std > 0:
            what = "all alike" if len(known) else "none at all"
            raise DataError(
                "a regression needs labelled training rows with two different target values at "
                f"least, but those of {len(known)} rows are {what}; label more rows, or look at "
                "the target column"
            )
        return cls(column, float(known.mean()), std)

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Regression":
        numbers = [facts.get(name) for name in ("mean", "std")]
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(
                f"mean and std must be numbers, got {numbers[0]!r:.40}, {numbers[1]!r:.40}"
            )
        return cls(ValueColumn(), *map(float, numbers))  # type: ignore[arg-type]

    @property
    def out_dim(self) -> int:
        return 1

    def loss(
        self,
        out: Tensor,
        target: Tensor,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """(out - (target - mean) / std)², without a unit. Values have neither labels to smooth nor
        classes to balance."""
        wanted_B = (target.double() - self.mean) / self.std
        return (out[:, 0].float() - wanted_B.float()).square()

    def predict(self, out: Tensor, head: nn.Module | None = None) -> Predicted:
        """mean + std·out, in float64: a target may be large and vary little."""
        return Predicted(self.mean + self.std * out[:, 0].double())

    def constant_out(self) -> Tensor:
        """The mean, standardised."""
        return torch.zeros(1)

    @staticmethod
    def known(targets: Any) -> Any:
        return targets == targets  # NaN is not itself; of arrays and tensors alike

    def _figure(self, name: str, predictions: Predictions) -> Any:
        target_N, value_N = predictions.target_N, predictions.given("values")
        if name == "residuals":
            return asdict(residuals(target_N, value_N))
        assert name == "error_quantiles", f"{name} is none of {self.figures}"
        return {str(k): v for k, v in absolute_error_quantiles(target_N, value_N).items()}

    def facts(self) -> Mapping[str, Any]:
        return {"kind": self.name, "mean": self.mean, "std": self.std}

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, ValueColumn):
            return f"it asks for values, and the other for a {other.kind}"
        return None
