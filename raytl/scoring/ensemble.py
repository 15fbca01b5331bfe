"""An ensemble of validators: the mean of the ranks that they give."""

import numpy as np


def mean_ranks(scores: list[dict[str, float]]) -> list[float]:
    """Return each candidate's mean rank over the validators that all candidates have; 1 is best,
    ties share their mean rank."""
    names = set.intersection(*(set(score) for score in scores)) if scores else set()
    if not names:
        return [1.0] * len(scores)
    from scipy.stats import rankdata

    ranks = [rankdata([-score[name] for score in scores]) for name in sorted(names)]
    return [float(rank) for rank in np.mean(ranks, axis=0)]
