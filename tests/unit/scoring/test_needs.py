"""What scores and validators need, and values where there are no classes."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from raytl.errors import ConfigError, DataError
from raytl.scoring.evidence import Evidence
from raytl.scoring.transferability import (
    SCORES,
    check_rows,
    check_score,
    h_score,
    log_me,
    n_leep,
)
from raytl.scoring.validators import (
    VALIDATORS,
    check_validator,
    control_variate,
    validate,
    weighted_error,
)

REGRESSION = {"vector", "row losses"}


def drawn(rows: int = 40, features: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    features_ND = generator.normal(size=(rows, features))
    return features_ND, 3 * features_ND[:, 0] + generator.normal(size=rows)


@pytest.mark.parametrize("shape", [(40, 5), (12, 20)])
def test_log_me_of_values_is_the_maximum_evidence(shape: tuple[int, int]) -> None:
    features, values = drawn(*shape)
    y = (values - values.mean()) / values.std()

    def loss(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(y)) / beta + features @ features.T / alpha
        return -float(multivariate_normal(np.zeros(len(y)), covariance).logpdf(y))

    starts = [np.zeros(2), np.array([3.0, 1.0]), np.array([-1.0, 2.0])]
    best = -min(minimize(loss, start, method="Nelder-Mead").fun for start in starts)
    assert log_me(features, values) == pytest.approx(best / len(y), abs=2e-3)


def test_log_me_of_values_knows_no_unit_and_no_zero() -> None:
    features, values = drawn()
    assert log_me(features, 1000 * values + 2e4) == pytest.approx(log_me(features, values))
    single = values.astype(np.float32)
    assert log_me(features, single) == pytest.approx(log_me(features, values), rel=1e-5)


def test_log_me_prefers_features_that_predict_the_values() -> None:
    features, values = drawn()
    other = np.random.default_rng(5).normal(size=features.shape)
    assert log_me(features, values) > log_me(other, values) + 0.5


def test_registered_scores_are_the_functions() -> None:
    features, _ = drawn()
    labels = np.arange(40) % 2
    for name, function in (("log_me", log_me), ("h_score", h_score), ("n_leep", n_leep)):
        assert SCORES[name](features, labels) == function(features, labels)
        assert SCORES[name].name == name
    features, values = drawn()
    assert SCORES["log_me"](features, values) == log_me(features, values)


@pytest.mark.parametrize("name", ["h_score", "n_leep"])
def test_a_score_of_classes_refuses_values(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} needs classes.*rank by log_me or size$"):
        SCORES[name](*drawn())
    with pytest.raises(ConfigError, match=f"{name} needs classes"):
        check_score(name, gives={"values"})
    check_score(name, gives={"classes"})
    check_score("log_me", gives={"values"})
    with pytest.raises(ConfigError, match="log_me needs classes or values.*; rank by size$"):
        check_score("log_me", gives={"maps", "entropy"})


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [1.0], [1.0, float("nan"), 3.0]])
def test_values_that_do_not_rank_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="two different ones at least"):
        check_rows(np.array(values))
    check_rows(np.array([1.0, 2.0]))


def of_values(error: float = 1.0) -> Evidence:
    generator = np.random.default_rng(1)
    source, target = generator.normal(size=(200, 3)), generator.normal(0.5, 1, (150, 3))
    loss = error * (generator.normal(size=200) + source[:, 0]) ** 2
    return Evidence(None, target, source_features_SD=source, source_loss_S=loss)


def test_values_are_validated_by_squared_errors_on_the_source() -> None:
    evidence = of_values()
    found = validate(evidence)
    assert set(found) == {"iwv", "dev"}
    weights, loss = evidence.source_ratio, evidence.source_loss_S
    assert loss is not None
    assert found["iwv"] == pytest.approx(-(weights * loss).sum() / weights.sum())
    assert found["iwv"] == -weighted_error(weights, loss)
    assert found["dev"] == -control_variate(weights * loss, weights)
    better = validate(of_values(0.5))
    assert better["iwv"] == pytest.approx(found["iwv"] / 2)
    assert better["dev"] == pytest.approx(found["dev"] / 2)


def test_losses_that_are_given_come_before_wrong_and_right() -> None:
    p, y = np.eye(2)[[0, 1, 1]], np.array([0, 1, 0])
    features = np.zeros((3, 1))
    assert Evidence(p, features, p, features, y).source_errors.tolist() == [0.0, 0.0, 1.0]
    given = Evidence(p, features, p, features, y, source_loss_S=np.array([0.1, 0.2, 2.0]))
    assert given.source_errors.tolist() == [0.1, 0.2, 2.0]


def test_evidence_says_what_it_gives() -> None:
    p, features, y = np.eye(2), np.zeros((2, 1)), np.arange(2)
    assert Evidence(p, features).gives == {"vector", "probabilities"}
    assert of_values().gives == {"vector", "source rows", "row losses"}
    everything = Evidence(p, features, p, features, y, mixed_agreement=0.5).gives
    assert everything == {"vector", "probabilities", "source rows", "row losses", "mixes"}
    assert all(validator.needs <= everything for validator in VALIDATORS.values())


@pytest.mark.parametrize("name", ["certainty", "bnm", "snd", "mixval", "circv"])
def test_a_validator_of_probabilities_refuses_values(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} needs .*probabilities.* use iwv or dev$"):
        check_validator(name, REGRESSION | {"source rows"}, "regression")


def test_a_validator_of_source_rows_refuses_a_study_without() -> None:
    message = "iwv needs source rows, which regression does not give here; no validator"
    with pytest.raises(ConfigError, match=message):
        check_validator("iwv", REGRESSION, "regression")
    check_validator("iwv", REGRESSION | {"source rows"}, "regression")


def test_who_reads_source_rows_and_mixes() -> None:
    assert {n for n, v in VALIDATORS.items() if v.reads_source} == {"iwv", "dev", "circv"}
    assert {n for n, v in VALIDATORS.items() if v.reads_mixes} == {"mixval"}
