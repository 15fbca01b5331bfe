"""What a validator may see of a trained model.

Legend: N target rows, S source rows, D features, K classes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raytl.scoring.density_ratio import density_ratio


@dataclass(frozen=True)
class Evidence:
    """What a validator may see: nothing of it is a target label.

    A task without classes gives no probabilities and no classes, but `source_loss_S`: the squared
    errors of predicted values, say. `mixed_agreement` is `mixed_consistency`'s result, or None
    where it was not computed.
    """

    target_p_NK: np.ndarray | None  # predicted class probabilities
    target_features_ND: np.ndarray
    source_p_SK: np.ndarray | None = None  # of validation rows, held out of training
    source_features_SD: np.ndarray | None = None
    source_y_S: np.ndarray | None = None
    mixed_agreement: float | None = None
    source_loss_S: np.ndarray | None = None  # of the same rows, at least 0; None: wrong or right

    @property
    def gives(self) -> frozenset[str]:
        """What is there: the "vector" of features; "probabilities" of classes; "source rows",
        labelled; their "row losses"; "mixes", predictions of them."""
        classes = self.source_p_SK is not None and self.source_y_S is not None
        there = {
            "vector": True,
            "probabilities": self.target_p_NK is not None,
            "source rows": self.source_features_SD is not None,
            "row losses": self.source_loss_S is not None or classes,
            "mixes": self.mixed_agreement is not None,
        }
        return frozenset(name for name, is_there in there.items() if is_there)

    @property
    def probabilities(self) -> np.ndarray:
        """`target_p_NK`, (N, K), where there are probabilities."""
        assert self.target_p_NK is not None
        return self.target_p_NK

    @cached_property
    def source_ratio(self) -> np.ndarray:
        """p_T / p_S at the source rows, (S,)."""
        assert self.source_features_SD is not None
        return density_ratio(self.source_features_SD, self.target_features_ND)

    @property
    def source_errors(self) -> np.ndarray:
        """The losses that were given of the source rows, (S,); where none were, 1.0 for each that
        is predicted wrong, else 0.0."""
        if self.source_loss_S is not None:
            return self.source_loss_S
        assert self.source_p_SK is not None and self.source_y_S is not None
        return (self.source_p_SK.argmax(1) != self.source_y_S).astype(float)
