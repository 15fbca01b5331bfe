"""Scores against second implementations and closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from raytl.errors import DataError
from raytl.scoring.density_ratio import FOLDS, LARGEST_RATIO, density_ratio, fitted_ratio
from raytl.scoring.ensemble import mean_ranks
from raytl.scoring.evidence import Evidence
from raytl.scoring.transferability import SCORES, check_rows, h_score, leep, log_me, n_leep
from raytl.scoring.validators import (
    class_clusters,
    control_variate,
    mixed_consistency,
    prediction_certainty,
    soft_neighbourhood_density,
    validate,
    weighted_error,
)


def blobs(rows: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    centres = 3 * np.eye(3, 5)
    return centres[labels] + spread * generator.normal(size=(rows, 5)), labels


@pytest.mark.parametrize("shape", [(30, 5), (12, 20)])
def test_log_me_is_the_maximum_evidence(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=shape), np.arange(shape[0]) % 2
    features[:, 0] += labels

    def best(y: np.ndarray) -> float:
        def loss(logs: np.ndarray) -> float:
            alpha, beta = np.exp(logs)
            covariance = np.eye(len(y)) / beta + features @ features.T / alpha
            return -float(multivariate_normal(np.zeros(len(y)), covariance).logpdf(y))

        starts = [np.zeros(2), np.array([3.0, 1.0]), np.array([-1.0, 2.0])]
        return -min(minimize(loss, s, method="Nelder-Mead").fun for s in starts) / len(y)

    expected = np.mean([best((labels == k).astype(float)) for k in (0, 1)])
    assert log_me(features, labels) == pytest.approx(expected, abs=2e-3)


def test_scores_prefer_features_that_separate() -> None:
    (good, labels), (bad, _) = blobs(60, 0.5), blobs(60, 6.0)
    for score in (log_me, h_score, n_leep):
        assert score(good, labels) > score(bad, labels) + 0.05, score.__name__


def test_h_score_closed_form() -> None:
    features = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert h_score(features, np.array([0, 0, 1, 1])) == pytest.approx(1.0)
    assert h_score(features, np.array([0, 1, 0, 1])) == pytest.approx(0.0)


def test_h_score_tells_source_models_apart_with_few_rows() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 3
    noise = generator.normal(size=(30, 100))  # more features than rows
    good = noise + 3 * np.eye(3, 100)[labels]
    assert 0 < h_score(noise, labels) + 0.1 < h_score(good, labels) < 2


def test_leep_by_hand() -> None:
    posterior = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    labels = np.array([0, 0, 1])
    p_0 = np.array([1.4 / 1.5, 0.6 / 1.5])
    expected = np.log([posterior[0] @ p_0, posterior[1] @ p_0, posterior[2] @ (1 - p_0)]).mean()
    assert leep(posterior, labels) == pytest.approx(expected)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(
        DataError, match="two labelled target rows each, got 1 such among 2 in 3 ro"
    ):
        check_rows(np.array([0, 0, 1]))


def test_classes_of_a_single_row_are_ranked_by_beside_others() -> None:
    check_rows(np.array([0] * 9 + [1] * 9 + [2]))
    check_rows(np.random.default_rng(0).integers(500, size=2000))
    features = np.random.default_rng(0).normal(size=(19, 4))
    labels = np.array([0] * 9 + [1] * 9 + [2])
    assert all(np.isfinite(score(features, labels)) for score in SCORES.values())


CERTAIN = np.eye(3)[np.arange(12) % 3]
FLAT = np.full((12, 3), 1 / 3)
COLLAPSED = np.eye(3)[np.zeros(12, int)]


def test_target_validators_at_their_extremes() -> None:
    def of(p: np.ndarray) -> Evidence:
        return Evidence(p, np.zeros((12, 2)))

    assert prediction_certainty(of(CERTAIN)) == pytest.approx(0.0, abs=1e-9)
    assert prediction_certainty(of(FLAT)) == pytest.approx(-np.log(3))
    assert class_clusters(of(CERTAIN)) == pytest.approx(1.0)
    assert class_clusters(of(COLLAPSED)) == pytest.approx(1 / np.sqrt(3))
    assert soft_neighbourhood_density(of(CERTAIN)) == pytest.approx(np.log(3), abs=1e-6)
    assert soft_neighbourhood_density(of(FLAT)) == pytest.approx(np.log(11))


def test_mixval_weighs_pairs_alike_and_pairs_that_differ_the_same() -> None:
    mixed_p = np.eye(3)[[0, 1, 2, 0]]
    ours, theirs = np.array([0, 1, 2, 1]), np.array([0, 1, 2, 2])
    assert mixed_consistency(mixed_p, ours, theirs) == 0.5  # 3 of 3 alike, 0 of 1 different
    assert mixed_consistency(mixed_p, ours, ours) == 0.75


def test_density_ratio_follows_the_shift() -> None:
    generator = np.random.default_rng(0)
    source, target = generator.normal(0, 1, (500, 1)), generator.normal(1, 1, (500, 1))
    ratio = density_ratio(source, target)
    exact = np.exp(source[:, 0] - 0.5)
    assert np.corrcoef(np.log(ratio), np.log(exact))[0, 1] > 0.99
    assert ratio.mean() == pytest.approx(1.0, abs=0.25)


def test_density_ratio_at_a_row_was_not_fitted_on_it() -> None:
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(2, 60, 200))  # no shift, but more features than rows
    held_in = fitted_ratio(source, target, at=source)
    assert held_in.mean() < 0.3  # the classifier knows its own rows
    ratio = density_ratio(source, target)
    assert 0.7 < ratio.mean() < 3
    for i in (0, 17, 59):
        moved = source.copy()
        moved[i] += 0.1
        same = np.isclose(density_ratio(moved, target), ratio, rtol=1e-12) & (ratio < LARGEST_RATIO)
        # The rest of its fold was weighed by the classifier that did not see row i either.
        assert not same[i] and 60 // FOLDS - 3 <= same.sum() < 60 // FOLDS
    assert density_ratio(source[:1], target).tolist() == [1.0]
    assert density_ratio(source[:2], target).shape == (2,)


def separable_and_aligned(rows: int, features: int, seed: int) -> tuple[Evidence, Evidence]:
    """What a model with 45 % error has whose domains are far apart, and one with 10 % error whose
    domains lie on each other; errors are as frequent everywhere."""
    generator = np.random.default_rng(seed)
    found = []
    for apart, error in ((8.0, 0.45), (0.0, 0.10)):
        y = np.arange(rows) % 3
        source = 3 * np.eye(3, features)[y] + generator.normal(size=(rows, features))
        target = 3 * np.eye(3, features)[y] + generator.normal(size=(rows, features))
        wrong = generator.permutation(rows) < error * rows
        p = np.eye(3)[(y + wrong) % 3]
        target += apart / np.sqrt(features)
        found.append(Evidence(p, target, p, source, y))
    return found[0], found[1]


@pytest.mark.parametrize(("rows", "features"), [(100, 5), (1000, 50), (300, 500)])
def test_weighted_validation_prefers_the_aligned_model_with_fewer_errors(
    rows: int, features: int
) -> None:
    for seed in range(3):
        separable, aligned = separable_and_aligned(rows, features, seed)
        names = ("iwv", "dev")
        bad, good = validate(separable, names), validate(aligned, names)
        assert bad["iwv"] == pytest.approx(-0.45, abs=0.17)
        assert good["iwv"] == pytest.approx(-0.10, abs=0.07)
        assert good["iwv"] > bad["iwv"] + 0.1
        assert good["dev"] > bad["dev"]


def test_weights_count_relative_to_their_sum() -> None:
    assert weighted_error(np.array([1.0, 3.0, 0.0]), np.array([0.0, 1.0, 1.0])) == 0.75
    assert weighted_error(np.full(4, 1e-9), np.array([0.0, 1.0, 1.0, 1.0])) == pytest.approx(0.75)


def test_control_variate_removes_the_weights_noise() -> None:
    generator = np.random.default_rng(0)
    raw, better = [], []
    for _ in range(200):
        weights = generator.exponential(size=100)
        wrong = (generator.random(100) < 0.8).astype(float)
        raw.append((weights * wrong).mean())
        better.append(control_variate(weights * wrong, weights))
    assert np.mean(better) == pytest.approx(0.8, abs=0.02)
    assert np.std(better) < 0.7 * np.std(raw)  # √(1 - 0.64 / 0.96) = 0.58 in theory
    assert control_variate(np.array([0.0, 1.0]), np.ones(2)) == 0.5


def test_the_better_model_wins_with_most_validators() -> None:
    (source, labels), (target, truth) = blobs(90, 0.7), blobs(90, 0.7, seed=1)

    def evidence(flip: float) -> Evidence:
        generator = np.random.default_rng(2)

        def p(y: np.ndarray) -> np.ndarray:
            wrong = generator.random(len(y)) < flip
            said = np.where(wrong, generator.integers(0, 3, len(y)), y)
            return 0.9 * np.eye(3)[said] + 0.1 / 3

        return Evidence(p(truth), target, p(labels), source, labels)

    good, bad = validate(evidence(0.02)), validate(evidence(0.6))
    assert set(good) == {"certainty", "bnm", "snd", "iwv", "dev", "circv"}
    for name in ("iwv", "dev", "circv"):
        assert good[name] > bad[name], name
    assert mean_ranks([good, bad])[0] < mean_ranks([good, bad])[1]


def test_mean_ranks_share_ties() -> None:
    assert mean_ranks([{"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 4.0}]) == [1.75, 1.25]
    assert mean_ranks([]) == []
