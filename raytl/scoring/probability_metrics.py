"""Scores of predicted class probabilities.

Legend: R weightings, N rows, K classes, G thresholds (the different values of a score). With two
classes, class 1 is the positive one. With more, AUC and average precision are the mean over the
classes that a row has as its target, each against the rest.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from raytl.scoring.weighing import Bools, Floats, Ints, Scorer, or_plain, ratio

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)  # 1.2e-7: a row's log loss is 15.9 at most


def row_log_loss(target_N: Ints, p_NK: Floats) -> Floats:
    """Return -log p of each row's own class, nats (N,), with p no less than LEAST_PROBABILITY."""
    p_N = p_NK[np.arange(len(target_N)), target_N].astype(np.float64)
    return -np.log(np.clip(p_N, LEAST_PROBABILITY, 1.0))


def auc(target_N: Ints, p_NK: Floats) -> Scorer:
    """P(p of a positive row > p of a negative one) + ½ P(equal): the area under the ROC curve
    (Hanley and McNeil 1982). Of a weighting without positive or negative rows: the plain score;
    0.5 where the rows themselves are all alike."""
    return _one_against_the_rest(_auc, target_N, p_NK, undefined=0.5)


def average_precision(target_N: Ints, p_NK: Floats) -> Scorer:
    """Σ (recall_g - recall_(g-1))·precision_g over the thresholds from the highest, rows of one
    score together, as scikit-learn has it; no interpolation. Of a weighting without positive rows:
    the plain score; 0, the prevalence, where no row is positive."""
    return _one_against_the_rest(_average_precision, target_N, p_NK, undefined=0.0)


def _one_against_the_rest(
    of_class: Callable[[Floats, Bools], Scorer], target_N: Ints, p_NK: Floats, undefined: float
) -> Scorer:
    classes = np.array([1]) if p_NK.shape[1] == 2 else np.unique(target_N)
    scorers = [
        or_plain(of_class(p_NK[:, k], target_N == k), len(target_N), undefined) for k in classes
    ]
    return lambda weights_RN: np.mean([score(weights_RN) for score in scorers], axis=0)


def _auc(p_N: Floats, positive_N: Bools) -> Scorer:
    weights_of = _by_threshold(p_N, positive_N)

    def score(weights_RN: Floats) -> Floats:
        positive_RG, negative_RG = weights_of(weights_RN)
        below_RG = np.cumsum(negative_RG, axis=1)
        negative_R = below_RG[:, -1].copy()
        below_RG -= negative_RG / 2
        wins_R = np.einsum("rg,rg->r", positive_RG, below_RG)
        return ratio(wins_R, positive_RG.sum(axis=1) * negative_R)

    return score


def _average_precision(p_N: Floats, positive_N: Bools) -> Scorer:
    weights_of = _by_threshold(-p_N, positive_N)

    def score(weights_RN: Floats) -> Floats:
        positive_RG, negative_RG = weights_of(weights_RN)
        found_RG = np.cumsum(positive_RG, axis=1)
        taken_RG = found_RG + np.cumsum(negative_RG, axis=1)
        precision_RG = found_RG / np.where(taken_RG > 0, taken_RG, 1)
        sums_R = np.einsum("rg,rg->r", positive_RG, precision_RG)
        return ratio(sums_R, found_RG[:, -1])

    return score


def _by_threshold(p_N: Floats, positive_N: Bools) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Return what gives, of weights_RN, those of the positive and those of the negative rows at
    each threshold, (R, G) each, from the lowest threshold."""
    thresholds, place_N = np.unique(p_N, return_inverse=True)
    shape = (len(p_N), len(thresholds))

    def members(rows: Ints) -> csr_array:
        return csr_array((np.ones(len(rows)), (rows, place_N[rows])), shape=shape)

    parts = [members(np.flatnonzero(where)) for where in (positive_N, ~positive_N)]

    def weights_of(weights_RN: Floats) -> tuple[Floats, Floats]:
        positive_RG, negative_RG = (np.asarray(weights_RN @ part) for part in parts)
        return positive_RG, negative_RG

    return weights_of
