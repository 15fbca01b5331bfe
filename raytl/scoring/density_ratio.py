"""How much likelier the target is than the source at the source's own rows.

Legend: N target rows, S source rows, D features.
"""

import numpy as np

LARGEST_RATIO = 20.0
FOLDS, FOLD_SEED = 5, 0  # of the source rows, where a density ratio is fitted
CLASSIFIER = {"C": 0.1, "max_iter": 2000, "tol": 1e-3}


def density_ratio(source_SD: np.ndarray, target_ND: np.ndarray) -> np.ndarray:
    """Return p_T / p_S at the source rows, (S,), each from `fitted_ratio` to the source rows of the
    other folds: a classifier that knows a row takes it for the source's, the more so the more
    features there are. A single row has the ratio 1."""
    count = len(source_SD)
    if count < 2:
        return np.ones(count)
    fold_S = np.random.default_rng(FOLD_SEED).permutation(count) % FOLDS
    ratio_S = np.empty(count)
    for fold in np.unique(fold_S):
        held = fold_S == fold
        ratio_S[held] = fitted_ratio(source_SD[~held], target_ND, at=source_SD[held])
    return ratio_S


def fitted_ratio(source_SD: np.ndarray, target_ND: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return p_T / p_S at the rows `at` from a logistic regression between the domains on scaled
    features (Bickel et al. 2007), cut at LARGEST_RATIO."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = np.concatenate([source_SD, target_ND])
    domain = np.repeat([0, 1], [len(source_SD), len(target_ND)])
    scaler = StandardScaler().fit(rows)
    classifier = LogisticRegression(**CLASSIFIER).fit(scaler.transform(rows), domain)
    odds = np.exp(classifier.decision_function(scaler.transform(at)))
    return np.minimum(odds * len(source_SD) / len(target_ND), LARGEST_RATIO)
