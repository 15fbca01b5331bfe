"""Figures of a confusion matrix (counts, true class by predicted class), and of class counts."""

from collections.abc import Sequence

import numpy as np

from raytl.scoring.weighing import Floats


def class_recall(confusion: list[list[int]]) -> list[float | None]:
    """Return each class's recall, None for a class without a row."""
    return [row[k] / sum(row) if sum(row) else None for k, row in enumerate(confusion)]


def macro_f1(confusion: list[list[int]]) -> float:
    """Return the mean over classes of 2·TP / (2·TP + FP + FN); 0 for a class that is neither
    there nor predicted, as scikit-learn has it."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    sizes = [sum(row) + predicted[k] for k, row in enumerate(confusion)]
    scores = [2 * row[k] / sizes[k] if sizes[k] else 0.0 for k, row in enumerate(confusion)]
    return sum(scores) / len(scores)


def class_weights(counts: Sequence[int]) -> Floats:
    """Return the weights (K,) that balance a cross-entropy: N / (K·n_k), as scikit-learn's
    "balanced" has them, with N all rows and K the classes that have rows. The mean over rows is 1,
    so a loss keeps its size and a learning rate its meaning. 0 for a class without a row."""
    count_K = np.asarray(counts, np.float64)
    assert (count_K >= 0).all() and count_K.any(), f"counts of rows, not all 0: {counts}"
    share_K = count_K * np.count_nonzero(count_K) / count_K.sum()
    return np.divide(1.0, share_K, out=np.zeros_like(share_K), where=share_K > 0)
