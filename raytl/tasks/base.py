"""What a task is: a target column, the numbers that a head gives for it, the loss of each row, and
what is measured.

Legend: B batch, N rows, D mapped features, K numbers that a head gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from raytl.config import HeadConfig, MetricName
from raytl.modalities.column import Column
from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS
from raytl.tasks.heads import build_head

Targets = np.ndarray  # (N,): int64 class numbers or float64 values
MOST_SCORES = 2**24  # rows times classes up to which metrics of every class are measured unasked


@dataclass(frozen=True)
class Predicted:
    """What a model says of rows: classes (int64) or values (float64, in the target's unit), (B,),
    and of a classification the probabilities (B, K)."""

    predicted_B: Tensor
    p_BK: Tensor | None = None


class Task(ABC):
    """A task about one target column, with all that was fitted to training rows. `gives` names what
    recipes, validators and rankings may ask for: "classes" (a head's numbers are logits, and rows
    have class probabilities) or "values". `primary`: the metric where a study names none;
    `scored_by`: the one in a pretrained model's `source.json`; `shown`: what is measured beside the
    study's metric after every epoch; `figures`: what is measured besides METRICS, `label_free`
    those among them that need no target. `no_target`: how a row without a target stands among
    targets in memory."""

    name: ClassVar[str]
    gives: ClassVar[frozenset[str]]
    primary: ClassVar[MetricName]
    scored_by: ClassVar[MetricName]
    shown: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]
    label_free: ClassVar[tuple[str, ...]] = ()
    no_target: ClassVar[int | float]
    column: Column

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """K."""

    def head(self, config: HeadConfig, in_dim: int) -> nn.Module:
        """Build the head: z_BD → out_BK."""
        return build_head(config, in_dim, self.out_dim)

    @abstractmethod
    def loss(
        self, out_BK: Tensor, target_B: Tensor, smoothing: float = 0.0, *, balanced: bool = False
    ) -> Tensor:
        """Return the loss of each row, (B,); targets as batches hold them, none missing. Of a task
        with classes, `smoothing` in [0, 1) is of labels, and with `balanced` each row counts with
        the weight of its class."""

    @abstractmethod
    def predict(self, out_BK: Tensor) -> Predicted:
        """Return what the head's numbers say."""

    @abstractmethod
    def constant_out(self, targets: Targets) -> Tensor:
        """Return the numbers, (K,), with which one answer to all rows of `targets`, one at least,
        has the least loss."""

    @staticmethod
    @abstractmethod
    def known(targets: Any) -> Any:
        """Return which rows have a target, bool, of an array or tensor of targets."""

    def measure(
        self, predictions: Predictions, names: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return metrics of predictions by name, and figures such as a confusion matrix, ready for
        JSON: those of `names`, by default all, but for what is dear with many rows and classes.

        Rows without a target are left out; where none has one, there is nothing that needs it.
        Raises TrainingError where a metric reads predictions that are not finite.
        """
        known_N = self.known(predictions.target_N)
        judged = predictions if known_N.all() else predictions.cut(known_N)
        found: dict[str, Any] = {}
        for name in self._affordable(judged) if names is None else names:
            rows = predictions if name in self.label_free else judged
            if len(rows.id_N):
                found[name] = self._one(name, rows)
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of METRICS that the task has."""
        classes = "classes" in self.gives
        return tuple(n for n, m in METRICS.items() if (m.reads != "values") == classes)

    def _affordable(self, predictions: Predictions) -> list[str]:
        scores = len(predictions.id_N) * self.out_dim
        dear = {n for n in self.metrics if METRICS[n].row_score is None}
        cheap = scores <= MOST_SCORES
        return [
            name
            for name in (*self.metrics, *self.figures)
            if cheap or name not in dear or METRICS[name].reads != "probabilities"
        ]

    def _one(self, name: str, predictions: Predictions) -> Any:
        metric = METRICS.get(name)
        if metric is not None:
            return metric.plain(predictions.target_N, predictions.given(metric.reads))
        return self._figure(name, predictions)

    @abstractmethod
    def _figure(self, name: str, predictions: Predictions) -> Any:
        """Return one of `figures`, of one row at least; all have targets, unless the figure needs
        none."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return what the task is made of, ready for JSON: `source.json` holds it."""

    @abstractmethod
    def mismatch(self, other: Column) -> str | None:
        """Return why rows with the target column `other` cannot be learnt or judged by this task, a
        sentence; None where they can."""
