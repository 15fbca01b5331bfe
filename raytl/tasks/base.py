"""What a task is: a target column, the numbers that a head gives for it, the loss of each row, and
what is measured.

Legend: B batch, D mapped features, K numbers that a head gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from raytl.config import HeadConfig
from raytl.modalities.column import Column
from raytl.predictions import Predictions
from raytl.tasks.heads import build_head


@dataclass(frozen=True)
class Predicted:
    """What a model says of rows: classes (int64) or values (float32), (B,), and of a classification
    the probabilities (B, K)."""

    predicted_B: Tensor
    p_BK: Tensor | None = None


class Task(ABC):
    """A task about one target column, with all that was fitted to training rows. `gives` names what
    recipes, validators and rankings may ask for: "classes" (a head's numbers are logits, and rows
    have class probabilities) or "values"."""

    name: ClassVar[str]
    gives: ClassVar[frozenset[str]]
    column: Column

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """K."""

    def head(self, config: HeadConfig, in_dim: int) -> nn.Module:
        """Build the head: z_BD → out_BK."""
        return build_head(config, in_dim, self.out_dim)

    @abstractmethod
    def loss(self, out_BK: Tensor, target_B: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the loss of each row, (B,); targets as batches hold them. `smoothing` in [0, 1):
        of labels, where the task has such."""

    @abstractmethod
    def predict(self, out_BK: Tensor) -> Predicted:
        """Return what the head's numbers say."""

    @abstractmethod
    def measure(self, predictions: Predictions) -> dict[str, Any]:
        """Return every metric of predictions by name, and figures such as a confusion matrix, ready
        for JSON."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return what the task is made of, ready for JSON: `source.json` holds it."""

    @abstractmethod
    def mismatch(self, other: Column) -> str | None:
        """Return why rows with the target column `other` cannot be learnt or judged by this task, a
        sentence; None where they can."""


Targets = np.ndarray  # (N,): int64 class numbers or float64 values
