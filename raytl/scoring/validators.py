"""Validators: how good is a trained model on a target without labels?

Legend: N target rows, S source rows, D features, K classes. Every score is the better the higher.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from raytl.errors import ConfigError
from raytl.scoring.density_ratio import CLASSIFIER
from raytl.scoring.evidence import Evidence

NEIGHBOUR_TEMPERATURE = 0.05


def prediction_certainty(evidence: Evidence) -> float:
    """Minus the mean prediction entropy, nats; at most 0 (Morerio et al. 2018)."""
    p = np.clip(evidence.probabilities, 1e-12, 1.0)
    return float((p * np.log(p)).sum(1).mean())


def class_clusters(evidence: Evidence) -> float:
    """‖P‖_* / √(N·min(N, K)), in (0, 1]: batch nuclear norm, large where predictions are both
    certain and diverse (Cui et al. 2020, "Towards Discriminability and Diversity", eq. 7; as a
    validator in Musgrave et al. 2022)."""
    p = evidence.probabilities
    return float(np.linalg.norm(p, "nuc") / np.sqrt(len(p) * min(p.shape)))


def soft_neighbourhood_density(evidence: Evidence) -> float:
    """Mean entropy of each row's similarities to the others, nats (Saito et al. 2021, "Tune it the
    Right Way", eq. 1 to 3): softmax of cosines of the class probabilities at temperature 0.05."""
    p = evidence.probabilities
    unit = p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-12)
    logits = unit @ unit.T / NEIGHBOUR_TEMPERATURE
    np.fill_diagonal(logits, -np.inf)
    logits -= logits.max(1, keepdims=True)
    similar = np.exp(logits)
    similar /= similar.sum(1, keepdims=True)
    return float(-(similar * np.log(np.maximum(similar, 1e-12))).sum(1).mean())


def weighted_error(weights_S: np.ndarray, loss_S: np.ndarray) -> float:
    """Return Σwℓ / Σw, in [0, 1] for losses ℓ there."""
    return float(np.average(loss_S, weights=weights_S))


def importance_weighted(evidence: Evidence) -> float:
    """Minus the importance-weighted source validation error, at most 0, and in [-1, 0] for classes
    (Sugiyama et al. 2007, "Covariate Shift Adaptation by Importance Weighted Cross Validation",
    eq. 7; there for any loss, squared errors among them). Deviation: the weights are divided by
    their sum, as the mean of w·ℓ vanishes where no source row looks like the target's, whatever the
    errors are."""
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

    predicted = evidence.probabilities.argmax(1)
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
    """`label`: what it is called in a sentence. `needs`: what it reads, in `Evidence.gives`'s
    words."""

    score: Callable[[Evidence], float]
    label: str
    needs: frozenset[str]

    @property
    def reads_source(self) -> bool:
        """Whether it reads labelled rows of the source domain."""
        return "source rows" in self.needs

    @property
    def reads_mixes(self) -> bool:
        """Whether it reads predictions of mixed rows."""
        return "mixes" in self.needs


PROBABILITIES = frozenset({"probabilities"})
SOURCE = frozenset({"source rows", "vector"})  # features, to compare the domains by

VALIDATORS: dict[str, Validator] = {
    "certainty": Validator(
        prediction_certainty, "prediction certainty on the target", PROBABILITIES
    ),
    "bnm": Validator(class_clusters, "batch nuclear norm on the target", PROBABILITIES),
    "snd": Validator(
        soft_neighbourhood_density, "soft neighbourhood density on the target", PROBABILITIES
    ),
    "mixval": Validator(mixed, "MixVal agreement on the target", PROBABILITIES | {"mixes"}),
    "iwv": Validator(
        importance_weighted, "importance-weighted source validation", SOURCE | {"row losses"}
    ),
    "dev": Validator(deep_embedded, "deep embedded validation", SOURCE | {"row losses"}),
    "circv": Validator(circular, "circular validation", SOURCE | PROBABILITIES),
}


def check_validator(name: str, gives: Collection[str], task: str) -> None:
    """Raise ConfigError where a validator needs what is not there. `gives`: what the task and the
    study give, in `Evidence.gives`'s words; `task`: its name, for the sentence."""
    missing = sorted(VALIDATORS[name].needs - set(gives))
    if missing:
        able = [other for other, v in VALIDATORS.items() if v.needs <= set(gives)]
        instead = f"use {' or '.join(able)}" if able else "no validator does without"
        raise ConfigError(
            f"{name} needs {' and '.join(missing)}, which {task} does not give here; {instead}"
        )


def validate(evidence: Evidence, names: Collection[str] = tuple(VALIDATORS)) -> dict[str, float]:
    """Return the scores of `names` that the evidence allows."""
    return {
        name: validator.score(evidence)
        for name, validator in VALIDATORS.items()
        if name in names and validator.needs <= evidence.gives
    }
