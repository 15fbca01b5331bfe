"""Forecasting: several numbers, the next steps of a series, as one regression.

Legend: B batch, H steps to come, M statistics of a row.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import HeadConfig, MetricName, TaskName
from raytl.errors import DataError
from raytl.modalities.column import Column, Values
from raytl.predictions import Predictions
from raytl.tasks.base import Predicted, Task
from raytl.tasks.columns import NO_LABEL, deviation, stored_column
from raytl.tasks.heads import NaiveHead
from raytl.tasks.map_heads import Taps
from raytl.tasks.steps_column import StepsColumn


class Forecasting(Task):
    """The squared error of standardised steps, as `Regression` has it of one value; a row's loss is
    the mean over its steps. One mean and deviation for all steps."""

    name: ClassVar[TaskName] = "forecasting"
    scored_by: ClassVar[MetricName] = "steps_r2"
    shown: ClassVar[tuple[str, ...]] = ("steps_r2",)
    figures: ClassVar[tuple[str, ...]] = ()
    no_target: ClassVar[int | float] = NO_LABEL
    continues: ClassVar[bool] = True

    def __init__(
        self, column: StepsColumn, mean: float, std: float, means: np.ndarray | None = None
    ) -> None:
        """`mean` and `std`: of the fitted rows' steps; `means`: each step's, (H,), none where it is
        not fitted. Raises ValueError where they are no finite numbers, std > 0."""
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"mean must be finite and std > 0, got mean={mean:g}, std={std:g}")
        self.column: StepsColumn = column
        self.mean, self.std, self.means = mean, std, means

    @classmethod
    def fitted(cls, column: StepsColumn, parts: Iterable[Values]) -> "Forecasting":
        """Return the task with mean and deviation of the rows' steps, float64 (N, H) each. Raises
        DataError where they are all alike, far too large, or none is there."""
        steps_NH = np.concatenate([*parts, np.zeros((0, column.horizon))])
        std = deviation(steps_NH)
        if not std > 0:
            raise DataError(
                "a forecast needs training rows with two different steps to come at least, but "
                f"those of {len(steps_NH)} rows are "
                + ("all alike" if len(steps_NH) else "none at all")
                + "; label more rows, or look at the target column"
            )
        return cls(column, float(steps_NH.mean()), std, steps_NH.mean(axis=0))

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Forecasting":
        known = {name: facts.get(name) for name in ("horizon", "channel", "season")}
        numbers = [facts.get(name) for name in ("mean", "std")]
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"mean and std must be numbers, got {numbers}")
        return cls(stored_column(StepsColumn, **known), *map(float, numbers))  # type: ignore[arg-type]

    @property
    def out_dim(self) -> int:
        return self.column.horizon

    def head(self, config: HeadConfig, in_dim: int, taps: Taps = ()) -> nn.Module:
        if config.name == "naive":
            return NaiveHead(self.out_dim, self.mean, self.std)
        return super().head(config, in_dim, taps)

    def loss(
        self,
        out: Tensor,
        target: Tensor,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """The mean over steps of (out - (target - mean) / std)², without a unit."""
        wanted_BH = (target.double() - self.mean) / self.std
        return (out.float() - wanted_BH.float()).square().mean(1)

    def predict(self, out: Tensor, head: nn.Module | None = None) -> Predicted:
        """mean + std·out, float64 (B, H)."""
        return Predicted(self.mean + self.std * out.double())

    def statistics(self, said: Predicted, target: Tensor) -> Tensor:
        """Return what scores need, float64 (B, M): see `scoring.step_metrics`."""
        error_BH = said.answer - target
        errors_B2 = torch.stack([error_BH.square().sum(1), error_BH.abs().sum(1)], dim=1)
        return torch.cat([errors_B2, target.double()], dim=1)

    def encoded(self, said: Predicted) -> list[str]:
        """Return the steps of each row with blanks between them."""
        return [" ".join(f"{step:.9g}" for step in row) for row in said.answer.tolist()]

    def constant_out(self) -> Tensor:
        """Each step's mean, standardised."""
        assert self.means is not None, "the task was fitted to labelled rows"
        return torch.from_numpy((self.means - self.mean) / self.std).float()

    @staticmethod
    def known(targets: Any) -> Any:
        """All rows have steps to come; of predictions, those that are not NO_LABEL."""
        if targets.ndim == 1:
            return targets != NO_LABEL
        return torch.ones(len(targets), dtype=torch.bool, device=targets.device)

    def _figure(self, name: str, predictions: Predictions) -> Any:
        raise AssertionError(f"{name} is none of {self.figures}")

    def facts(self) -> Mapping[str, Any]:
        of_column = self.column.model_dump(include={"horizon", "channel", "season"})
        return {"kind": self.name, **of_column, "mean": self.mean, "std": self.std}

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, StepsColumn):
            return f"it asks for steps to come, and the other for a {other.kind}"
        if other.horizon != self.column.horizon:
            return f"it asks for {self.column.horizon} steps, and the other for {other.horizon}"
        return None
