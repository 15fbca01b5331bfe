"""Transferability: which source model promises most, from its features of labelled target rows.

Legend: N rows, D features, K classes, M mixture components. More is better in every score.
Targets are classes where they are integers, values where they are floats.
"""

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from raytl.errors import ConfigError, DataError

ITERATIONS, TOLERANCE = 100, 1e-6
COMPONENTS_PER_CLASS = 5
EXPLAINED = 0.8


def log_me(features_ND: np.ndarray, targets_N: np.ndarray) -> float:
    """Return LogME: the maximum log evidence per row of a Bayesian linear model on one-hot labels,
    mean over classes, or on values (You et al. 2021, "LogME: Practical Assessment of Pre-trained
    Models for Transfer Learning", ICML, eq. 2 and algorithm 1). Deviation: values are standardised
    first, for the linear model has no intercept; so their unit and zero do not matter."""
    left, singular, _ = np.linalg.svd(features_ND, full_matrices=False)
    if are_values(targets_N):
        values_N = targets_N.astype(np.float64)
        y_KN = ((values_N - values_N.mean()) / values_N.std())[None]
    else:
        y_KN = (targets_N == np.unique(targets_N)[:, None]).astype(float)
    return float(np.mean([_evidence(left, singular, y, features_ND.shape) for y in y_KN]))


def _evidence(
    left_NR: np.ndarray, singular_R: np.ndarray, y_N: np.ndarray, shape: tuple[int, ...]
) -> float:
    """Maximise over prior precision α and noise precision β by MacKay's fixed point."""
    rows, dims = shape
    projected = left_NR.T @ y_N
    outside = max(float(y_N @ y_N - projected @ projected), 0.0)
    eigen, alpha, beta = singular_R**2, 1.0, 1.0
    for _ in range(ITERATIONS):
        gamma = (beta * eigen / (alpha + beta * eigen)).sum()
        weights = beta * singular_R * projected / (alpha + beta * eigen)
        misfit = outside + ((projected - singular_R * weights) ** 2).sum()
        new_alpha = gamma / max((weights**2).sum(), 1e-12)
        new_beta = (rows - gamma) / max(misfit, 1e-12)
        change = abs(new_alpha / alpha - 1) + abs(new_beta / beta - 1)
        alpha, beta = new_alpha, new_beta
        if change < TOLERANCE:
            break
    weights = beta * singular_R * projected / (alpha + beta * eigen)
    misfit = outside + ((projected - singular_R * weights) ** 2).sum()
    logs = np.log(alpha + beta * eigen).sum() + (dims - len(eigen)) * np.log(alpha)
    return (
        float(
            0.5 * (dims * np.log(alpha) + rows * np.log(beta) - rows * np.log(2 * np.pi))
            - 0.5 * (beta * misfit + alpha * (weights**2).sum() + logs)
        )
        / rows
    )


def h_score(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """Return (1 - α)·tr(cov_α(f)⁻¹ cov(E[f | y])), in 0..K - 1: the H-score (Bao et al. 2019, "An
    Information-Theoretic Approach to Transferability in Task Transfer Learning", definition 2) with
    Ledoit and Wolf's shrunk covariance, α its shrinkage (Ibrahim et al. 2022, "Newer is Not Always
    Better", eq. 5). Without it every source model gets K - 1 where there are fewer rows than
    features."""
    centred = features_ND - features_ND.mean(0)
    means = np.zeros_like(centred)
    for label in np.unique(labels_N):
        means[labels_N == label] = centred[labels_N == label].mean(0)
    shrunk, shrinkage = ledoit_wolf(centred, assume_centered=True)
    between = means.T @ means / len(means)
    inverse = np.linalg.pinv(shrunk, rcond=1e-8, hermitian=True)
    return float((1.0 - shrinkage) * np.trace(inverse @ between))


def n_leep(features_ND: np.ndarray, labels_N: np.ndarray, seed: int = 0) -> float:
    """Return N-LEEP: LEEP with the components of a Gaussian mixture on principal components as
    the source classes (Li et al. 2021, "Ranking Neural Checkpoints", CVPR, section 3). At most 0.

    As there: PCA to 80 % of the variance, COMPONENTS_PER_CLASS · K components (no more than a
    quarter of the rows, so that none is a single row)."""
    reduced = PCA(n_components=EXPLAINED, svd_solver="full", random_state=seed).fit_transform(
        features_ND
    )
    classes = np.unique(labels_N)
    components = max(1, min(COMPONENTS_PER_CLASS * len(classes), len(labels_N) // 4))
    mixture = GaussianMixture(components, covariance_type="diag", reg_covar=1e-4, random_state=seed)
    with warnings.catch_warnings():
        # The posterior of a fit that stopped early is a posterior all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        posterior_NM = mixture.fit(reduced).predict_proba(reduced)
    return leep(posterior_NM, labels_N)


def leep(posterior_NM: np.ndarray, labels_N: np.ndarray) -> float:
    """Return mean log Σ_z P(y | z) θ(x)_z (Nguyen et al. 2020, "LEEP", eq. 2)."""
    classes, index = np.unique(labels_N, return_inverse=True)
    joint_KM = np.stack([posterior_NM[index == k].sum(0) for k in range(len(classes))])
    conditional_KM = joint_KM / np.maximum(joint_KM.sum(0), 1e-12)
    expected_NK = posterior_NM @ conditional_KM.T
    return float(np.log(np.maximum(expected_NK[np.arange(len(index)), index], 1e-12)).mean())


def are_values(targets_N: np.ndarray) -> bool:
    """Whether targets are values (floats), not classes (integers)."""
    return bool(np.issubdtype(targets_N.dtype, np.floating))


@dataclass(frozen=True)
class Transferability:
    """A score by name, and which targets it `reads`: "classes", "values"."""

    name: str
    score: Callable[[np.ndarray, np.ndarray], float]
    reads: frozenset[str]

    def __call__(self, features_ND: np.ndarray, targets_N: np.ndarray) -> float:
        """Return the score of features for targets: classes (integers) or values (floats). Raises
        ConfigError for values where it reads classes alone."""
        if are_values(targets_N):
            check_score(self.name, gives={"values"})
        return self.score(features_ND, targets_N)


SCORES: dict[str, Transferability] = {
    score.name: score
    for score in (
        Transferability("log_me", log_me, frozenset({"classes", "values"})),
        # Both compare rows of one class with the others; values have no rows of one value.
        Transferability("h_score", h_score, frozenset({"classes"})),
        Transferability("n_leep", n_leep, frozenset({"classes"})),
    )
}


def check_score(name: str, gives: Collection[str]) -> None:
    """Raise ConfigError where a score does not read what the target gives: see `TaskFacts`."""
    score = SCORES[name]
    if not score.reads & set(gives):
        able = [other.name for other in SCORES.values() if other.reads & set(gives)]
        raise ConfigError(
            f"{name} needs {' or '.join(sorted(score.reads))}, which the target does not hold; "
            f"rank by {' or '.join([*able, 'size'])}"
        )


def check_rows(targets_N: np.ndarray) -> None:
    """Raise DataError where there is too little to rank by."""
    values, counts = np.unique(targets_N, return_counts=True)
    if are_values(targets_N):
        if not np.isfinite(targets_N).all() or len(values) < 2:
            raise DataError(
                "ranking needs finite target values, two different ones at least, got "
                f"{len(targets_N)} rows with {len(values)} different values"
            )
    elif (several := int((counts >= 2).sum())) < 2:
        raise DataError(
            "ranking needs two classes with at least two labelled target rows each, got "
            f"{several} such among {len(counts)} in {len(targets_N)} rows"
        )
