"""Validators: how good is a trained model on a target without labels?

Legend: N target rows, S source rows, D features, K classes. Every score is the better the higher.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LARGEST_RATIO = 20.0
FOLDS, FOLD_SEED = 5, 0  # of the source rows, where a density ratio is fitted
NEIGHBOUR_TEMPERATURE = 0.05
CLASSIFIER = {"C": 0.1, "max_iter": 2000, "tol": 1e-3}


@dataclass(frozen=True)
class Evidence:
    """What a validator may see: nothing of it is a target label.

    `mixed_agreement` is `mixed_consistency`'s result, or None where it was not computed.
    """

    target_p_NK: np.ndarray  # predicted class probabilities
    target_features_ND: np.ndarray
    source_p_SK: np.ndarray | None = None  # of validation rows, held out of training
    source_features_SD: np.ndarray | None = None
    source_y_S: np.ndarray | None = None
    mixed_agreement: float | None = None

    @cached_property
    def source_ratio(self) -> np.ndarray:
        """p_T / p_S at the source rows, (S,)."""
        assert self.source_features_SD is not None
        return density_ratio(self.source_features_SD, self.target_features_ND)

    @property
    def source_errors(self) -> np.ndarray:
        """1.0 for each source row that is predicted wrong, else 0.0, (S,)."""
        assert self.source_p_SK is not None and self.source_y_S is not None
        return (self.source_p_SK.argmax(1) != self.source_y_S).astype(float)


def prediction_certainty(evidence: Evidence) -> float:
    """Minus the mean prediction entropy, nats; at most 0 (Morerio et al. 2018)."""
    p = np.clip(evidence.target_p_NK, 1e-12, 1.0)
    return float((p * np.log(p)).sum(1).mean())


def class_clusters(evidence: Evidence) -> float:
    """‖P‖_* / √(N·min(N, K)), in (0, 1]: batch nuclear norm, large where predictions are both
    certain and diverse (Cui et al. 2020, "Towards Discriminability and Diversity", eq. 7; as a
    validator in Musgrave et al. 2022)."""
    p = evidence.target_p_NK
    return float(np.linalg.norm(p, "nuc") / np.sqrt(len(p) * min(p.shape)))


def soft_neighbourhood_density(evidence: Evidence) -> float:
    """Mean entropy of each row's similarities to the others, nats (Saito et al. 2021, "Tune it the
    Right Way", eq. 1 to 3): softmax of cosines of the class probabilities at temperature 0.05."""
    p = evidence.target_p_NK
    unit = p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-12)
    logits = unit @ unit.T / NEIGHBOUR_TEMPERATURE
    np.fill_diagonal(logits, -np.inf)
    logits -= logits.max(1, keepdims=True)
    similar = np.exp(logits)
    similar /= similar.sum(1, keepdims=True)
    return float(-(similar * np.log(np.maximum(similar, 1e-12))).sum(1).mean())


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


def weighted_error(weights_S: np.ndarray, wrong_S: np.ndarray) -> float:
    """Return Σwℓ / Σw, in [0, 1] for losses ℓ there."""
    return float(np.average(wrong_S, weights=weights_S))


def importance_weighted(evidence: Evidence) -> float:
    """Minus the importance-weighted source validation error, in [-1, 0] (Sugiyama et al. 2007,
    "Covariate Shift Adaptation by Importance Weighted Cross Validation", eq. 7). Deviation: the
    weights are divided by their sum, as the mean of w·ℓ vanishes where no source row looks like the
    target's, whatever the errors are."""
    return -weighted_error(evidence.source_ratio, evidence.source_errors)


def deep_embedded(evidence: Evidence) -> float:
    """Minus DEV: the weighted error with the weights as control variate (You et al. 2019, "Towards
    Accurate Model Selection in Deep Unsupervised Domain Adaptation", eq. 8). The control variate
    makes up for a sum of weights that is not S; divided by it, DEV would be IWV. Deviation: each
    row is weighed by the classifier of the other folds, where the authors set rows aside to fit
    one."""
    weights = evidence.source_ratio
    return -control_variate(weights * evidence.source_errors, weights)


def control_variate(weighted: np.ndarray, weights: np.ndarray) -> float:
    """Return mean(wℓ) + η·mean(w) - η with η = -cov(wℓ, w) / var(w)."""
    variance = weights.var(ddof=1)
    if variance < 1e-12:
        return float(weighted.mean())
    eta = -np.cov(weighted, weights)[0, 1] / variance
    return float(weighted.mean() + eta * (weights.mean() - 1.0))


def circular(evidence: Evidence) -> float:
    """Accuracy on the labelled source rows of a classifier learnt from the target's predicted
    labels (Bruzzone & Marconcini 2010, "Domain Adaptation Problems: A DASVM Classification
    Technique and a Circular Validation Strategy"). Deviation: a logistic regression on the model's
    features stands for the whole method run backwards."""
    assert evidence.source_features_SD is not None and evidence.source_y_S is not None
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    predicted = evidence.target_p_NK.argmax(1)
    if len(np.unique(predicted)) < 2:
        return float((evidence.source_y_S == predicted[0]).mean())
    scaler = StandardScaler().fit(evidence.target_features_ND)
    rows = scaler.transform(evidence.target_features_ND)
    classifier = LogisticRegression(**CLASSIFIER).fit(rows, predicted)
    back = classifier.predict(scaler.transform(evidence.source_features_SD))
    return float((back == evidence.source_y_S).mean())


def mixed_consistency(mixed_p_NK: np.ndarray, ours_N: np.ndarray, theirs_N: np.ndarray) -> float:
    """MixVal: how often the prediction on a mix of two target images is that of the image that
    dominates it, in [0, 1]; the mean over pairs predicted alike and pairs predicted differently
    (Hu et al. 2023, "Mixed Samples as Probes for Unsupervised Model Selection in Domain
    Adaptation", section 3.2). `ours_N`: predictions of the dominating images, `theirs_N`: of the
    others."""
    agrees, alike = mixed_p_NK.argmax(1) == ours_N, ours_N == theirs_N
    return float(np.mean([agrees[pairs].mean() for pairs in (alike, ~alike) if pairs.any()]))


def mixed(evidence: Evidence) -> float:
    """MixVal's agreement, as `mixed_consistency` computed it."""
    assert evidence.mixed_agreement is not None
    return evidence.mixed_agreement


@dataclass(frozen=True)
class Validator:
    """`label`: what it is called in a sentence. `reads_source`: labelled rows of the source domain;
    `reads_mixes`: predictions of mixed images."""

    score: Callable[[Evidence], float]
    label: str
    reads_source: bool = False
    reads_mixes: bool = False


VALIDATORS: dict[str, Validator] = {
    "certainty": Validator(prediction_certainty, "prediction certainty on the target"),
    "bnm": Validator(class_clusters, "batch nuclear norm on the target"),
    "snd": Validator(soft_neighbourhood_density, "soft neighbourhood density on the target"),
    "mixval": Validator(mixed, "MixVal agreement on the target", reads_mixes=True),
    "iwv": Validator(
        importance_weighted, "importance-weighted source validation", reads_source=True
    ),
    "dev": Validator(deep_embedded, "deep embedded validation", reads_source=True),
    "circv": Validator(circular, "circular validation", reads_source=True),
}


def validate(evidence: Evidence, names: Collection[str] = tuple(VALIDATORS)) -> dict[str, float]:
    """Return the scores of `names` that the evidence allows."""
    no_source, no_mixes = evidence.source_features_SD is None, evidence.mixed_agreement is None
    return {
        name: validator.score(evidence)
        for name, validator in VALIDATORS.items()
        if name in names
        and not (validator.reads_source and no_source)
        and not (validator.reads_mixes and no_mixes)
    }
