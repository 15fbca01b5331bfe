"""Figures of predicted classes, of a confusion matrix (counts, true class by predicted class), and
of class counts.

Legend: N rows, K classes, M confidence bins.
"""

from collections.abc import Sequence

import numpy as np

from raytl.scoring.weighing import Floats

CONFIDENCE_BINS = 15


def class_recall(confusion: list[list[int]]) -> list[float | None]:
    """Return each class's recall, None for a class without a row."""
    return [row[k] / sum(row) if sum(row) else None for k, row in enumerate(confusion)]


def class_iou(confusion: list[list[int]]) -> list[float | None]:
    """Return each class's TP / (TP + FP + FN), None for a class without a row or pixel."""
    counts_KK = np.asarray(confusion, np.float64)
    hits_K = counts_KK.diagonal()
    union_K = counts_KK.sum(axis=0) + counts_KK.sum(axis=1) - hits_K
    there_K = counts_KK.sum(axis=1) > 0
    return [
        float(hits / union) if there else None
        for hits, union, there in zip(hits_K, union_K, there_K, strict=True)
    ]


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


def class_weights(counts: Sequence[int]) -> Floats:
    """Return the weights (K,) that balance a cross-entropy: N / (K·n_k), as scikit-learn's
    "balanced" has them, with N all rows and K the classes that have rows. The mean over rows is 1,
    so a loss keeps its size and a learning rate its meaning. 0 for a class without a row."""
    count_K = np.asarray(counts, np.float64)
    assert (count_K >= 0).all() and count_K.any(), f"counts of rows, not all 0: {counts}"
    share_K = count_K * np.count_nonzero(count_K) / count_K.sum()
    return np.divide(1.0, share_K, out=np.zeros_like(share_K), where=share_K > 0)
