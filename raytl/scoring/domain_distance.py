"""How far apart two domains' features are, and where they lie.

Legend: N and M rows of the one and the other domain, D features.
"""

import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raytl.scoring.weighing import Floats

FOLDS = 5
LEAST_ROWS = 2 * FOLDS  # of a domain


def proxy_a_distance(ours_ND: Floats, theirs_MD: Floats, seed: int = 0) -> float:
    """Return 2·(1 - 2ε), in [0, 2], of the error ε of a linear classifier that tells two domains
    apart (Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", section 5):
    0 where it cannot, 2 where it always can.

    The classifier is a logistic regression of standardised features; each row is judged by one
    that was fitted without it, in FOLDS folds drawn by `seed`. ε is the mean of both domains'
    errors, so that their sizes do not matter, and one above ½ counts as ½. Needs LEAST_ROWS rows of
    each.
    """
    assert min(len(ours_ND), len(theirs_MD)) >= LEAST_ROWS, "LEAST_ROWS rows of each domain"
    rows = np.concatenate([ours_ND, theirs_MD]).astype(np.float64)
    domain = np.repeat([0, 1], [len(ours_ND), len(theirs_MD)])
    linear = LogisticRegression(C=0.1, class_weight="balanced", max_iter=200)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        said = cross_val_predict(make_pipeline(StandardScaler(), linear), rows, domain, cv=folds)
    error = np.mean([np.mean(said[domain == k] != k) for k in (0, 1)])
    return 2 * (1 - 2 * min(0.5, float(error)))


def flat_map(ours_ND: Floats, theirs_MD: Floats) -> tuple[Floats, Floats, list[float]]:
    """Return both domains' rows in the plane of their two first principal components, (N, 2) and
    (M, 2), and the share of the variance that each component explains."""
    rows = np.concatenate([ours_ND, theirs_MD]).astype(np.float64)
    wide = np.pad(rows, ((0, 0), (0, max(0, 2 - rows.shape[1]))))
    if not (wide.std(axis=0) > 0).any():  # nothing to tell rows apart
        return np.zeros((len(ours_ND), 2)), np.zeros((len(theirs_MD), 2)), [0.0, 0.0]
    plane = PCA(2, random_state=0).fit(wide)
    flat = plane.transform(wide)
    return flat[: len(ours_ND)], flat[len(ours_ND) :], plane.explained_variance_ratio_.tolist()
