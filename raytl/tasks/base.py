"""What a task is: a target column, what a head gives for it, the loss of each row, and what is
measured.

Legend: B batch, N rows, D mapped features, K numbers that a head gives, M statistics of a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import (
    TASK_FACTS,
    AugmentConfig,
    HeadConfig,
    MetricName,
    TaskName,
)
from raytl.modalities.column import Column, Values
from raytl.predictions import Predictions
from raytl.rows import Rows
from raytl.scoring.metrics import METRICS
from raytl.tasks.heads import build_head
from raytl.tasks.map_heads import Taps

HeadReads = Literal["features", "taps", "state"]
Targets = np.ndarray  # (N,): int64 class numbers or float64 values
MOST_SCORES = 2**24  # rows times classes up to which metrics of every class are measured unasked


@dataclass(frozen=True)
class Predicted:
    """What a model says of rows, rows first: classes (int64) or values (float64, in the target's
    unit), (B,), and of a classification the probabilities (B, K); or masks (uint8), (B, H, W), or
    detections (B, D, 6); or a list of whatever the task says of a row."""

    answer: Any
    p_BK: Tensor | None = None


class Fitting(Protocol):
    """How a row's image was fitted into what the model reads; see `data.fitting.Fitted`."""

    def boxes_back(self, boxes_n4: np.ndarray) -> np.ndarray: ...

    def mask_back(self, mask_HW: np.ndarray, outside: int) -> np.ndarray: ...


class Task(ABC):
    """A task about one target column, with all that was fitted to training rows. `scored_by`: the
    metric in a pretrained model's `source.json`; `shown`: what is measured beside the study's
    metric after every epoch; `figures`: what is measured besides METRICS, `label_free` those among
    them that need no target. `no_target`: how a row without a target stands among targets in
    memory. `reads`: what a head is given: mapped features, or of the one branch what its blocks
    gave at its taps (`Backbone.taps`) or its last block. `continues`: whether the target is what
    follows the last step of a row. `notes`: what a person is to know of the rows that it was
    fitted to."""

    name: ClassVar[TaskName]
    scored_by: ClassVar[MetricName]
    shown: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]
    label_free: ClassVar[tuple[str, ...]] = ()
    no_target: ClassVar[int | float]
    reads: ClassVar[HeadReads] = "features"
    continues: ClassVar[bool] = False
    notes: tuple[str, ...] = ()
    column: Column

    @classmethod
    @abstractmethod
    def fitted(cls, column: Any, parts: Iterable[Values]) -> "Task":
        """Return the task of a target column, fitted to those of the rows' targets that are there.
        Raises DataError where they do not do."""

    @classmethod
    @abstractmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Task":
        """Return the task that `facts` was taken of. Raises ValueError, a sentence, where they are
        none."""

    @property
    def gives(self) -> frozenset[str]:
        """What recipes, validators and rankings may ask for; see `TaskFacts`."""
        return TASK_FACTS[self.name].gives

    @property
    def draws(self) -> bool:
        """Whether a row, its target and its answer can be drawn."""
        return TASK_FACTS[self.name].draws

    @property
    def primary(self) -> MetricName:
        """The metric where a study names none."""
        return TASK_FACTS[self.name].metrics[0]

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """K."""

    def row_numbers(self, head: nn.Module) -> int:
        """Return how many numbers a head of the task gives for a row."""
        return self.out_dim

    def head(self, config: HeadConfig, in_dim: int, taps: Taps = ()) -> nn.Module:
        """Build the head: z_BD → out_BK; of a task that reads taps, from these."""
        return build_head(config, in_dim, self.out_dim)

    def prepare(self, values: Values) -> Rows:
        """Return stored targets as tensors on the CPU, rows first."""
        return torch.from_numpy(values)

    def augmented(self, target: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Rows:
        """Return prepared targets as they are once their rows' images were augmented; a class or
        value stays as it is."""
        return target

    @abstractmethod
    def loss(
        self,
        out: Any,
        target: Any,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """Return the loss of each row, (B,); targets as batches hold them, none missing. Of a task
        with classes, `smoothing` in [0, 1) is of labels, and with `balanced` each row (or pixel)
        counts with the weight of its class. `head`: which gave `out`, of a task whose loss runs
        more of it, which hangs on the target."""

    def weighing_as(self, other: "Task") -> "Task":
        """Return this task with the class weights of `other`, which was fitted to other rows of
        the same classes; a task without such weights stays as it is."""
        return self

    @abstractmethod
    def predict(self, out: Any, head: nn.Module | None = None) -> Predicted:
        """Return what the head says; `head` as for `loss`."""

    def entropy(self, out: Tensor) -> Tensor:
        """Return how undecided the answer to each row is, (B,), in [0, 1], of a task that gives
        it."""
        raise NotImplementedError(f"answers of a {self.name} have no entropy")

    def statistics(self, said: Predicted, target: Any) -> Tensor | None:
        """Return what scores need of answers and targets, (B, M), where answers are not kept."""
        return None

    def taken_back(self, said: Predicted, fitted: Sequence[Fitting]) -> Predicted:
        """Return answers about places in an image in the pixels that it had before it was `fitted`,
        of each row; none of `fitted`: in those of the image as it is."""
        return said

    def encoded(self, said: Predicted) -> list[Any]:
        """Return the answer to each row as it is written down, of a task that gives no numbers: a
        file's bytes, or a text."""
        raise NotImplementedError(f"answers of a {self.name} are numbers")

    def picture(self, image_HWC: np.ndarray, target: Any, answer: Any) -> bytes:
        """Return a PNG of a row's stored image, target and answer, of a task that draws."""
        raise NotImplementedError(f"answers of a {self.name} are no pictures")

    @abstractmethod
    def constant_out(self) -> Tensor:
        """Return the numbers, (K,), with which one answer to all rows that the task was fitted to
        has the least loss."""

    @staticmethod
    @abstractmethod
    def known(targets: Any) -> Any:
        """Return which rows have a target, bool (B,), of an array or tensor of targets as batches
        or predictions hold them."""

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
        return TASK_FACTS[self.name].metrics

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

    def renamed(self, other: Column) -> str | None:
        """Return what `other`, which the task can learn, calls otherwise, as a note says it; None
        where nothing is."""
        return None
