"""Scores of predicted classes.

Legend: R weightings, N rows, K classes that a row has as its target. A scorer looks at the rows
once and is then asked for any number of weightings.
"""

import numpy as np
from scipy.sparse import csr_array

from raytl.scoring.weighing import Bools, Floats, Ints, Scorer


def correct(target_N: Ints, predicted_N: Ints) -> Floats:
    """Return 1.0 for each row that is predicted right, else 0.0; their mean is the accuracy."""
    return (target_N == predicted_N).astype(np.float64)


def macro_f1(target_N: Ints, predicted_N: Ints) -> Scorer:
    """The mean of 2·TP / (2·TP + FP + FN) over the classes that a row has as its target; 0 for one
    that a weighting leaves without a row and without a prediction."""
    classes, target_N = np.unique(target_N, return_inverse=True)
    place_N = np.searchsorted(classes, predicted_N).clip(max=len(classes) - 1)
    known_N = classes[place_N] == predicted_N
    hits_NK = _members(target_N, known_N & (place_N == target_N), len(classes))
    target_NK = _members(target_N, np.ones_like(known_N), len(classes))
    predicted_NK = _members(place_N, known_N, len(classes))

    def score(weights_RN: Floats) -> Floats:
        hits_RK = np.asarray(weights_RN @ hits_NK)
        sizes_RK = np.asarray(weights_RN @ target_NK) + np.asarray(weights_RN @ predicted_NK)
        return np.asarray(np.mean(2 * hits_RK / np.where(sizes_RK > 0, sizes_RK, 1), axis=1))

    return score


def balanced_accuracy(target_N: Ints, predicted_N: Ints) -> Scorer:
    """The mean recall of the classes that a row has as its target (Brodersen et al. 2010). A class
    that a weighting leaves without a row counts with its plain recall: the mean over bootstrap
    draws is then the plain score. Deviation: scikit-learn leaves such a class out."""
    classes, place_N = np.unique(target_N, return_inverse=True)
    everywhere = np.ones(len(target_N), dtype=bool)
    sizes_NK = _members(place_N, everywhere, len(classes))
    hits_NK = _members(place_N, target_N == predicted_N, len(classes))
    plain_K = np.asarray(hits_NK.sum(axis=0)) / np.asarray(sizes_NK.sum(axis=0))

    def score(weights_RN: Floats) -> Floats:
        hits_RK, sizes_RK = np.asarray(weights_RN @ hits_NK), np.asarray(weights_RN @ sizes_NK)
        recall_RK = np.where(sizes_RK > 0, hits_RK / np.where(sizes_RK > 0, sizes_RK, 1), plain_K)
        return np.asarray(recall_RK.mean(axis=1))

    return score


def _members(place_N: Ints, where_N: Bools, classes: int) -> csr_array:
    """Return (N, K) with a one at each row's place, nothing for rows that are not `where_N`."""
    rows = np.flatnonzero(where_N)
    return csr_array((np.ones(len(rows)), (rows, place_N[rows])), shape=(len(where_N), classes))
