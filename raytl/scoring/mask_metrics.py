"""Scores of predicted masks, from how many pixels of each class were given which.

Legend: R weightings, N rows, K classes. `counts_NM`, M = K·K: of each row, how many pixels of class
i (its target) were given class j, at i·K + j. The sums over rows are all that a score needs, so a
bootstrap draws rows, never pixels, which are not independent.
"""

import math

import numpy as np

from raytl.scoring.weighing import Floats, Ints, Scorer


def _of_classes(counts_NM: Floats) -> tuple[Floats, Floats, Floats]:
    """Return how many pixels of each class were given it, belong to it, were given it by anyone:
    (N, K) each."""
    classes = math.isqrt(counts_NM.shape[1])
    counts_NKK = counts_NM.reshape(-1, classes, classes)
    hits_NK = np.diagonal(counts_NKK, axis1=1, axis2=2)
    return hits_NK.astype(np.float64), counts_NKK.sum(2), counts_NKK.sum(1)


def _mean_over(counts_NM: Floats, classes: slice, *, union: bool) -> Scorer:
    """Return the mean over classes of their hits by the union of target and answer, or by half of
    their sum."""
    hits_NK, target_NK, said_NK = (of[:, classes] for of in _of_classes(counts_NM))
    there_K = target_NK.sum(axis=0) > 0
    undefined = 0.0 if said_NK.any() else 1.0
    hits_NK, target_NK, said_NK = (of[:, there_K] for of in (hits_NK, target_NK, said_NK))

    def of_each(weights_RN: Floats) -> Floats:
        hits_RK, target_RK, said_RK = (weights_RN @ of for of in (hits_NK, target_NK, said_NK))
        below_RK = target_RK + said_RK - hits_RK if union else (target_RK + said_RK) / 2
        return np.where(target_RK > 0, hits_RK / np.where(below_RK > 0, below_RK, 1), np.nan)

    if not there_K.any():
        return lambda weights_RN: np.full(len(weights_RN), undefined)
    plain_K = of_each(np.ones((1, len(counts_NM))))

    def score(weights_RN: Floats) -> Floats:
        score_RK = of_each(weights_RN)
        return np.asarray(np.where(np.isnan(score_RK), plain_K, score_RK).mean(axis=1))

    return score


def mean_iou(target_N: Ints, counts_NM: Floats) -> Scorer:
    """The mean of TP / (TP + FP + FN) over the classes that a row has pixels of (Everingham et al.
    2010, "The Pascal Visual Object Classes Challenge", section 4.4), over the pixels of all rows
    together. A class that a weighting leaves without a pixel counts with its plain score: the mean
    over bootstrap draws is then the plain one."""
    return _mean_over(counts_NM, slice(None), union=True)


def dice(target_N: Ints, counts_NM: Floats) -> Scorer:
    """2·TP / (2·TP + FP + FN) over the pixels of all rows together (Dice 1945): of two classes that
    of the second, the foreground, else the mean over classes as `mean_iou` has it. Where no
    row has a pixel of the foreground: 1 if none was said to have any, else 0."""
    foreground = counts_NM.shape[1] == 4
    return _mean_over(counts_NM, slice(1 if foreground else 0, None), union=False)


def pixel_accuracy(target_N: Ints, counts_NM: Floats) -> Scorer:
    """The share of pixels that are given their class."""
    hits_NK, target_NK, _ = _of_classes(counts_NM)
    hits_N, pixels_N = hits_NK.sum(axis=1), target_NK.sum(axis=1)
    return lambda weights_RN: weights_RN @ hits_N / np.maximum(weights_RN @ pixels_N, 1)


def all_right(counts_NM: Floats) -> Floats:
    """Return the counts of the same rows with every pixel given its class."""
    _, target_NK, _ = _of_classes(counts_NM)
    return np.asarray([np.diag(row_K).reshape(-1) for row_K in target_NK])


def one_answer(counts_NM: Floats) -> Floats:
    """Return the counts of the same rows with every pixel given the class that most have."""
    _, target_NK, _ = _of_classes(counts_NM)
    said_KK = np.eye(target_NK.shape[1])[int(target_NK.sum(axis=0).argmax())]
    return (target_NK[:, :, None] * said_KK).reshape(len(counts_NM), -1)
