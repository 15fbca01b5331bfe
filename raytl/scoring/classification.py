"""Scores of predicted classes, and of a confusion matrix: counts, true class by predicted class.

Legend: N rows, K classes, M confidence bins.
"""

import numpy as np

CONFIDENCE_BINS = 15


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


def confusion_matrix(
    target_N: np.ndarray, predicted_N: np.ndarray, classes: int
) -> list[list[int]]:
    """Return counts of rows, true class by predicted class, K × K."""
    pairs = np.bincount(target_N * classes + predicted_N, minlength=classes**2)
    return [[int(n) for n in row] for row in pairs.reshape(classes, classes)]


def calibration_error(correct_N: np.ndarray, confidence_N: np.ndarray) -> float:
    """Return the expected calibration error, in [0, 1] (Guo et al. 2017, eq. 5): the mean over rows
    of |accuracy - confidence| of the row's bin, in CONFIDENCE_BINS bins of equal width."""
    bins_N = np.ceil(confidence_N * CONFIDENCE_BINS).clip(1, CONFIDENCE_BINS).astype(np.int64) - 1
    surplus_M = np.bincount(bins_N, correct_N - confidence_N.astype(np.float64))
    return float(np.abs(surplus_M).sum() / len(correct_N))
