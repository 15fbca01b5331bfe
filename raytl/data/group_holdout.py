"""Holding out whole groups: a speaker's rows, or a patient's, stand on one side.

Legend: N rows, G groups, K classes (or bins of values).
"""

import numpy as np

from raytl.errors import DataError

TRIES = 10  # random orders of the groups, of which the best is taken


def hold_groups(strata: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out, bool (N,): whole groups that hold about `fraction` of every
    class of `strata`, int (N,).

    Greedy: groups come in a random order, and one is taken where that lessens the distance, the
    sum over k of (share of class k that is held - fraction)², where a class without a held-out row
    counts as one that is off by twice the fraction. No group is taken that would leave a class
    without a row to learn from. Of ten orders the one is kept that ends nearest. A class may be
    left without a held-out row, where the groups that have it are too large.

    Raises DataError where there are fewer than two groups, or where a class stands in one group
    alone that every order holds out.
    """
    _, of_row = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(strata, return_inverse=True)
    counts_GK = np.zeros((of_row.max(initial=-1) + 1, len(classes)))
    np.add.at(counts_GK, (of_row, class_of), 1)
    if len(counts_GK) < 2:
        raise DataError(
            f"cannot hold out {fraction:g} of the rows by groups: all {len(strata)} are of one "
            "group; groups stand on one side alone, so give rows of more groups"
        )
    shares_GK = counts_GK / counts_GK.sum(0)
    generator = np.random.default_rng(seed)
    tried = [_greedy(shares_GK, fraction, generator) for _ in range(TRIES)]
    best = min(tried, key=lambda held_G: _fault(shares_GK, held_G, fraction))
    bare = np.flatnonzero(~(counts_GK[~best] > 0).any(0))
    if len(bare):
        raise DataError(
            f"cannot hold out {fraction:g} of the rows by groups: class {classes[bare[0]]} would "
            "have no row to learn from; give rows of more groups, or hold out less"
        )
    return best[of_row]


def _greedy(shares_GK: np.ndarray, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """Return which groups are held out, bool (G,): one at least, and not all."""
    held_G = np.zeros(len(shares_GK), dtype=bool)
    held_K = np.zeros(shares_GK.shape[1])
    far = _distance(held_K, fraction)
    for group in generator.permutation(len(shares_GK)):
        more_K = held_K + shares_GK[group]
        nearer = _distance(more_K, fraction)
        if nearer < far and (more_K < 1 - 1e-9).all():
            held_G[group], held_K, far = True, more_K, nearer
    if not held_G.any():  # every group is far too large, or has a class of its own
        held_G[shares_GK.sum(1).argmin()] = True
    return held_G


def _fault(shares_GK: np.ndarray, held_G: np.ndarray, fraction: float) -> tuple[int, float]:
    unlearnt = int((~(shares_GK[~held_G] > 0).any(0)).sum())
    return unlearnt, _distance(shares_GK[held_G].sum(0), fraction)


def _distance(held_K: np.ndarray, fraction: float) -> float:
    off_K = np.where(held_K > 0, held_K - fraction, 2 * fraction)
    return float(off_K @ off_K)
