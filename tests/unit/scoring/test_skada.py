"""Validators against skada's, where it computes the same thing."""

from typing import Any

import numpy as np
import pytest
from skada.metrics import (
    CircularValidation,
    DeepEmbeddedValidation,
    MixValScorer,
    PredictionEntropyScorer,
    SoftNeighborhoodDensity,
)
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from raytl.scoring.validators import (
    CLASSIFIER,
    Evidence,
    circular,
    control_variate,
    density_ratio,
    mixed_consistency,
    prediction_certainty,
    soft_neighbourhood_density,
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


def test_deep_embedded_validation(data: dict[str, np.ndarray]) -> None:
    """skada splits the source rows at random into those that fit the ratio and those it judges;
    with its split undone, the two are the same formula on the same ratio."""
    source, target = data["X"][:90], data["X"][90:]
    scorer = DeepEmbeddedValidation(domain_classifier=LogisticRegression(**CLASSIFIER))
    scaler = StandardScaler().fit(data["X"])
    scorer._fit_adapt(scaler.transform(source), scaler.transform(target))
    odds = scorer.domain_classifier_.predict_proba(scaler.transform(source))
    theirs = 90 / 60 * odds[:, 0] / odds[:, 1]
    assert density_ratio(source, target) == pytest.approx(theirs, rel=1e-6)
    wrong = (Model().predict(source) != data["y"][:90]).astype(float)
    eta = -np.cov(theirs * wrong, theirs)[0, 1] / np.var(theirs, ddof=1)
    expected = (theirs * wrong).mean() + eta * theirs.mean() - eta
    assert control_variate(theirs * wrong, theirs) == pytest.approx(expected)
