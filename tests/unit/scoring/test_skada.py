"""Validators against skada's, where it computes the same thing."""

from typing import Any

import numpy as np
import pytest
from skada.metrics import (
    CircularValidation,
    DeepEmbeddedValidation,
    ImportanceWeightedScorer,
    MixValScorer,
    PredictionEntropyScorer,
    SoftNeighborhoodDensity,
)
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from raytl.scoring.density_ratio import CLASSIFIER, fitted_ratio
from raytl.scoring.evidence import Evidence
from raytl.scoring.validators import (
    circular,
    control_variate,
    mixed_consistency,
    prediction_certainty,
    soft_neighbourhood_density,
    weighted_error,
)

CLASSES = 3


def blobs(rows: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % CLASSES
    return np.eye(CLASSES, 4)[labels] + shift + 0.5 * generator.normal(size=(rows, 4)), labels


class Model(BaseEstimator):
    """A fixed linear classifier, until `fit` (on the rows that are not masked) replaces it."""

    def __init__(self) -> None:
        self.weights = 2 * np.eye(4, CLASSES)
        self.scaler = self.classifier = None

    def fit(self, x: np.ndarray, y: np.ndarray, sample_domain: Any = None) -> "Model":
        known = y >= 0
        self.scaler = StandardScaler().fit(x[known])
        self.classifier = LogisticRegression(**CLASSIFIER)
        self.classifier.fit(self.scaler.transform(x[known]), y[known])
        return self

    def predict_proba(self, x: np.ndarray, **_: Any) -> np.ndarray:
        logits = np.exp(x @ self.weights)
        return logits / logits.sum(1, keepdims=True)

    def predict(self, x: np.ndarray, **_: Any) -> np.ndarray:
        if self.classifier is not None:
            return self.classifier.predict(self.scaler.transform(x))
        return self.predict_proba(x).argmax(1)


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    (source, labels), (target, _) = blobs(90, 0.0, 0), blobs(60, 0.3, 1)
    return {
        "X": np.concatenate([source, target]),
        "y": np.concatenate([labels, np.full(60, -1)]),
        "sample_domain": np.repeat([1, -2], [90, 60]),
    }


def evidence(data: dict[str, np.ndarray]) -> Evidence:
    source, target = data["X"][:90], data["X"][90:]
    p = Model().predict_proba
    return Evidence(p(target), target, p(source), source, data["y"][:90])


def test_prediction_entropy(data: dict[str, np.ndarray]) -> None:
    theirs = PredictionEntropyScorer()._score(None, Model(), **data)  # a mean over N·K cells
    assert prediction_certainty(evidence(data)) == pytest.approx(CLASSES * theirs)


def test_soft_neighbourhood_density(data: dict[str, np.ndarray]) -> None:
    theirs = SoftNeighborhoodDensity()._score(None, Model(), **data)
    assert soft_neighbourhood_density(evidence(data)) == pytest.approx(theirs, rel=1e-6)


def test_circular_validation(data: dict[str, np.ndarray]) -> None:
    theirs = CircularValidation()._score(None, Model(), **data)
    assert 0.4 < theirs < 1.0
    assert circular(evidence(data)) == pytest.approx(theirs)  # balanced classes


def test_mixval(data: dict[str, np.ndarray]) -> None:
    def accuracy(model: Model, x: np.ndarray, y: np.ndarray, **_: Any) -> float:
        return float((model.predict(x) == y).mean())

    scorer = MixValScorer(scoring=accuracy, random_state=3)
    theirs = scorer._score(None, Model(), **data)
    target, partner = data["X"][90:], np.random.RandomState(3).permutation(60)
    mixed_p = Model().predict_proba(0.55 * target + 0.45 * target[partner])
    said = Model().predict(target)
    assert 0.5 < theirs < 1.0
    assert mixed_consistency(mixed_p, said, said[partner]) == pytest.approx(theirs)


def skada_odds(source: np.ndarray, target: np.ndarray, at: np.ndarray) -> np.ndarray:
    """p_T / p_S at the rows `at` as skada's DEV computes it."""
    scorer = DeepEmbeddedValidation(domain_classifier=LogisticRegression(**CLASSIFIER))
    scaler = StandardScaler().fit(np.concatenate([source, target]))
    scorer._fit_adapt(scaler.transform(source), scaler.transform(target))
    p = scorer.domain_classifier_.predict_proba(scaler.transform(at))
    return len(source) / len(target) * p[:, 0] / p[:, 1]


def test_deep_embedded_validation(data: dict[str, np.ndarray]) -> None:
    """skada fits the ratio to two thirds of the source rows and judges by the last third. We do so
    fold by fold, so that all rows judge: on purpose not the same number, but the same ratio for a
    given division, and the same control variate."""
    source, target = data["X"][:90], data["X"][90:]
    theirs = skada_odds(source[:60], target, at=source[60:])
    assert fitted_ratio(source[:60], target, at=source[60:]) == pytest.approx(theirs, rel=1e-6)
    wrong = (Model().predict(source[60:]) != data["y"][60:90]).astype(float)
    eta = -np.cov(theirs * wrong, theirs)[0, 1] / np.var(theirs, ddof=1)
    expected = (theirs * wrong).mean() + eta * theirs.mean() - eta
    assert control_variate(theirs * wrong, theirs) == pytest.approx(expected)


class Weighable(Model):
    """skada asks for an estimator whose score takes weights."""

    def score(self, x: np.ndarray, y: np.ndarray, sample_weight: Any = None, **_: Any) -> float:
        return float(np.average(self.predict(x) == y, weights=sample_weight))


class LogDensity(BaseEstimator):
    """Of a normal distribution with unit variances around the mean of what it was fitted to."""

    def fit(self, x: np.ndarray, y: None = None) -> "LogDensity":
        self.mean_ = x.mean(0)
        return self

    def score_samples(self, x: np.ndarray) -> np.ndarray:
        return -0.5 * ((x - self.mean_) ** 2).sum(1)


def test_importance_weighted_validation(data: dict[str, np.ndarray]) -> None:
    """skada divides the weights by their sum as we do; it fits two densities to the rows that it
    weighs, where we hold folds out of a classifier. With the same weights the score is the same."""
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        estimator = Weighable().set_score_request(sample_weight=True)
        scorer = ImportanceWeightedScorer(weight_estimator=LogDensity())
        theirs = scorer._score(None, estimator, **data)
    source, target = data["X"][:90], data["X"][90:]
    logs = [LogDensity().fit(rows).score_samples(source) for rows in (target, source)]
    wrong = (Model().predict(source) != data["y"][:90]).astype(float)
    assert 0.1 < theirs < 0.95
    assert 1 - weighted_error(np.exp(logs[0] - logs[1]), wrong) == pytest.approx(theirs)
