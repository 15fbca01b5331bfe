"""Classification: one class a row.

Legend: B batch, N rows, K classes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import MetricName, TaskName
from raytl.modalities.column import Column
from raytl.predictions import Predictions
from raytl.scoring.classification import calibration_error, confusion_matrix
from raytl.tasks.base import Predicted, Targets, Task
from raytl.tasks.class_counts import balancing_weights, log_shares
from raytl.tasks.columns import NO_LABEL, LabelColumn, has_target, stored_column


class Classification(Task):
    """Cross-entropy of the head's logits. `counts`: fitted rows of each class, none where it is not
    fitted."""

    name: ClassVar[TaskName] = "classification"
    scored_by: ClassVar[MetricName] = "accuracy"
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    figures: ClassVar[tuple[str, ...]] = ("calibration_error", "entropy", "confusion")
    label_free: ClassVar[tuple[str, ...]] = ("entropy",)
    no_target: ClassVar[int | float] = NO_LABEL

    def __init__(self, column: LabelColumn, counts: Sequence[int] | None = None) -> None:
        self.column: LabelColumn = column
        self.counts = counts

    @classmethod
    def fitted(cls, column: LabelColumn, parts: Iterable[Targets]) -> "Classification":
        """Return the task with the class counts of the rows' classes, (N,) each."""
        counts = sum(
            (_counts(targets, len(column.classes)) for targets in parts),
            np.zeros(len(column.classes), np.int64),
        )
        return cls(column, counts.tolist() if counts.any() else None)

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Classification":
        return cls(stored_column(LabelColumn, classes=facts.get("classes")))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.column.classes

    @property
    def out_dim(self) -> int:
        return len(self.column.classes)

    def weighing_as(self, other: Task) -> "Classification":
        assert isinstance(other, Classification)
        return Classification(self.column, other.counts)

    def loss(
        self,
        out: Tensor,
        target: Tensor,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """Cross-entropy, nats, with label smoothing (Szegedy et al. 2016, section 7)."""
        loss_B = F.cross_entropy(out, target, reduction="none", label_smoothing=smoothing)
        if not balanced or self.counts is None:
            return loss_B
        return balancing_weights(self.counts, loss_B)[target] * loss_B

    def predict(self, out: Tensor, head: nn.Module | None = None) -> Predicted:
        p_BK = out.float().softmax(1)
        return Predicted(p_BK.argmax(1), p_BK)

    def entropy(self, out: Tensor) -> Tensor:
        """-Σ p log p / log K of each row."""
        return normalised_entropy(out)

    def constant_out(self) -> Tensor:
        """The logarithms of the classes' shares of rows: see `log_shares`."""
        assert self.counts is not None, "the task was fitted to labelled rows"
        return log_shares(self.counts)

    @staticmethod
    def known(targets: Any) -> Any:
        return targets != NO_LABEL

    def _figure(self, name: str, predictions: Predictions) -> Any:
        target_N, predicted_N = predictions.target_N, predictions.given("classes")
        if name == "confusion":
            return confusion_matrix(target_N, predicted_N, self.out_dim)
        p_NK = predictions.given("probabilities")
        if name == "entropy":
            return mean_entropy(p_NK)
        assert name == "calibration_error", f"{name} is none of {self.figures}"
        return calibration_error(target_N == predicted_N, p_NK.max(1))

    def facts(self) -> Mapping[str, Any]:
        return {"kind": self.name, "classes": list(self.classes)}

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, LabelColumn):
            return f"it asks for classes, and the other for a {other.kind}"
        if len(other.classes) != self.out_dim:
            return f"it has {self.out_dim} classes, and the other {len(other.classes)}"
        if other.classes != self.classes and set(other.classes) == set(self.classes):
            return (
                "it lists the same classes in another order, so that label 0 is "
                f"'{self.classes[0]}' in one and '{other.classes[0]}' in the other; shard one of "
                "them again with --classes"
            )
        number = {name.casefold(): k for k, name in enumerate(self.classes)}
        number |= {name: k for k, name in enumerate(self.classes)}
        for k, name in enumerate(other.classes):
            own = number.get(name, number.get(name.casefold(), k))
            if own != k:
                return (
                    f"its classes are {_few(self.classes)}, and the other's {_few(other.classes)}, "
                    f"so that '{name}' is label {own} in one and {k} in the other; give what is "
                    "one class one name and place, with --classes"
                )
        return None

    def renamed(self, other: Column) -> str | None:
        assert isinstance(other, LabelColumn), "a column that mismatches is none to be compared"
        pairs = zip(other.classes, self.classes, strict=True)
        apart = [f"'{theirs}' is '{own}'" for theirs, own in pairs if theirs != own]
        return (
            f"classes of the source domain are called otherwise: {_few(apart)}" if apart else None
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _counts(targets: Targets, classes: int) -> np.ndarray:
    return np.bincount(targets[has_target(targets)], minlength=classes)


def normalised_entropy(logits_BK: Tensor) -> Tensor:
    """Return -Σ p log p / log K over the second dimension, in [0, 1]: (B, K, …) → (B, …)."""
    log_p_BK = logits_BK.log_softmax(1)
    return -(log_p_BK.exp() * log_p_BK).sum(1) / math.log(max(2, logits_BK.shape[1]))


def mean_entropy(p_NK: np.ndarray) -> float:
    """Return the mean entropy of predictions, nats."""
    p = np.clip(p_NK.astype(np.float64), 1e-38, 1.0)
    return float(-(p * np.log(p)).sum(1).mean())
