"""Classification: one class a row.

Legend: B batch, N rows, K classes, M confidence bins.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from raytl.modalities.column import Column
from raytl.predictions import Predictions
from raytl.scoring.classification import calibration_error, confusion_matrix, macro_f1
from raytl.tasks.base import Predicted, Task
from raytl.tasks.columns import LabelColumn


class Classification(Task):
    """Cross-entropy of the head's logits."""

    name: ClassVar[str] = "classification"
    gives: ClassVar[frozenset[str]] = frozenset({"classes"})

    def __init__(self, column: LabelColumn) -> None:
        self.column: LabelColumn = column

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.column.classes

    @property
    def out_dim(self) -> int:
        return len(self.column.classes)

    def loss(self, out_BK: Tensor, target_B: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy, nats, with label smoothing (Szegedy et al. 2016, section 7)."""
        return F.cross_entropy(out_BK, target_B, reduction="none", label_smoothing=smoothing)

    def predict(self, out_BK: Tensor) -> Predicted:
        p_BK = out_BK.float().softmax(1)
        return Predicted(p_BK.argmax(1), p_BK)

    def measure(self, predictions: Predictions) -> dict[str, Any]:
        p_NK = predictions.p_NK
        assert p_NK is not None
        confusion = confusion_matrix(predictions.target_N, predictions.predicted_N, self.out_dim)
        correct_N = predictions.target_N == predictions.predicted_N
        return {
            "accuracy": float(correct_N.mean()),
            "macro_f1": macro_f1(confusion),
            "calibration_error": calibration_error(correct_N, p_NK.max(1)),
            "entropy": mean_entropy(p_NK),
            "confusion": confusion,
        }

    def facts(self) -> Mapping[str, Any]:
        return {"kind": self.name, "classes": list(self.classes)}

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, LabelColumn):
            return f"it asks for classes, and the other for a {other.kind}"
        if len(other.classes) != self.out_dim:
            return f"it has {self.out_dim} classes, and the other {len(other.classes)}"
        return None


def mean_entropy(p_NK: np.ndarray) -> float:
    """Return the mean entropy of predictions, nats."""
    p = np.clip(p_NK.astype(np.float64), 1e-38, 1.0)
    return float(-(p * np.log(p)).sum(1).mean())
