"""Holding out whole groups: a speaker's rows, or a patient's, stand on one side.

Legend: N rows, G groups, K classes (or bins of values).
"""

import numpy as np

from raytl.errors import DataError

TRIES = 10  # random orders of the groups, of which the best is taken


def hold_groups(strata: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out, bool (N,): whole groups that hold about `fraction` of every
    class of `strata`, int (N,).

    Greedy: groups come in a random order, and one is taken where that lessens the distance
    sum over k of (share of class k that is held - fraction)². Of ten orders the one is kept that
    leaves the fewest classes without a row on either side, then the nearest. A class may be left
    without a held-out row, as groups of its own may be too large; none without a row to learn from.

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
    order = generator.permutation(len(shares_GK))
    for group in order:
        more_K = held_K + shares_GK[group]
        if ((more_K - fraction) ** 2).sum() < ((held_K - fraction) ** 2).sum():
            held_G[group], held_K = True, more_K
    if not held_G.any():  # every group is more than twice too large
        held_G[shares_GK.sum(1).argmin()] = True
    if held_G.all():
        held_G[order[-1]] = False
    return held_G


def _fault(shares_GK: np.ndarray, held_G: np.ndarray, fraction: float) -> tuple[int, int, float]:
    held_K = shares_GK[held_G].sum(0)
    unlearnt = int((~(shares_GK[~held_G] > 0).any(0)).sum())
    unheld = int((held_K == 0).sum())
    return unlearnt, unheld, float(((held_K - fraction) ** 2).sum())
