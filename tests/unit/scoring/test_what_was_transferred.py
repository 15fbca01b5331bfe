"""CKA, proxy A-distance, the plane of two domains, Grad-CAM: known answers."""

import math

import numpy as np
import pytest

from raytl.scoring.domain_distance import flat_map, proxy_a_distance
from raytl.scoring.saliency import grad_cam, token_saliency
from raytl.scoring.similarity import gram, linear_cka

GENERATOR = np.random.default_rng(0)
FEATURES_ND = GENERATOR.standard_normal((60, 8))


def cka(ours_ND: np.ndarray, theirs_NE: np.ndarray) -> float:
    return linear_cka(gram(ours_ND), gram(theirs_NE))


def test_a_rotated_scaled_and_shifted_copy_is_the_same() -> None:
    rotation, _ = np.linalg.qr(GENERATOR.standard_normal((8, 8)))
    assert cka(FEATURES_ND, 3 * FEATURES_ND @ rotation + 7) == pytest.approx(1.0)


def test_features_of_no_common_direction_have_nothing_in_common() -> None:
    rows_NN = np.linalg.qr(np.c_[np.ones(60), GENERATOR.standard_normal((60, 59))])[0]
    assert cka(rows_NN[:, 1:5], rows_NN[:, 5:20]) == pytest.approx(0.0, abs=1e-12)


def test_half_of_the_directions_by_hand() -> None:
    # Orthonormal, centred columns a, b, c: |XᵀY|² = 1 of X = (a, b) and Y = (b, c); |XᵀX| = √2.
    a, b, c = np.linalg.qr(np.c_[np.ones(60), GENERATOR.standard_normal((60, 3))])[0].T[1:]
    assert cka(np.c_[a, b], np.c_[b, c]) == pytest.approx(0.5)


def test_constant_features_tell_nothing() -> None:
    assert math.isnan(cka(FEATURES_ND, np.ones((60, 2))))


def test_domains_alike_are_about_nothing_apart_and_others_two() -> None:
    ours, theirs = GENERATOR.standard_normal((2, 400, 5))
    assert proxy_a_distance(ours, theirs) < 0.25
    assert proxy_a_distance(ours, theirs + 10) == 2.0


def test_a_known_overlap_has_a_known_distance() -> None:
    # Two normals, two standard deviations apart: ε = Φ(-1) = 0.1587, so 2·(1 - 2ε) = 1.365
    ours, theirs = GENERATOR.standard_normal((2, 4000, 1))
    assert proxy_a_distance(ours, theirs + 2) == pytest.approx(1.365, abs=0.04)


def test_the_distance_does_not_hang_on_how_many_rows_each_domain_has() -> None:
    ours, theirs = GENERATOR.standard_normal((2, 4000, 1))
    assert proxy_a_distance(ours, theirs[:200] + 2) == pytest.approx(1.365, abs=0.15)


def test_the_plane_has_the_direction_that_differs_first() -> None:
    ours, theirs = GENERATOR.standard_normal((2, 50, 6)) * 0.1
    theirs[:, 3] += 5
    flat, other, explained = flat_map(ours, theirs)
    assert flat.shape == other.shape == (50, 2)
    assert abs(flat[:, 0].mean() - other[:, 0].mean()) == pytest.approx(5, abs=0.1)
    assert explained[0] > 0.9 > 0.1 > explained[1]


@pytest.mark.parametrize("rows", [np.ones((12, 4)), np.arange(12.0)[:, None]])
def test_the_plane_of_few_directions(rows: np.ndarray) -> None:
    flat, other, explained = flat_map(rows, rows)
    assert np.isfinite(flat).all() and np.isfinite(explained).all()
    assert np.array_equal(flat, other)


def test_grad_cam_of_a_hand_made_network() -> None:
    """The score is the mean of channel 0 minus that of channel 1 over a map of 2 × 2."""
    maps = np.array([[[[4.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 4.0]]]])
    gradients = np.broadcast_to(np.array([0.25, -0.25])[None, :, None, None], maps.shape)
    assert grad_cam(maps, gradients).tolist() == [[[1.0, 0.0], [0.0, 0.0]]]


def test_grad_cam_where_nothing_speaks_for_the_score() -> None:
    assert not grad_cam(np.ones((1, 2, 3, 3)), -np.ones((1, 2, 3, 3))).any()


def test_tokens_speak_for_and_against() -> None:
    embedded = np.array([[[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    gradients = np.array([[[2.0, 9.0], [5.0, -2.0], [7.0, 7.0]]])
    assert token_saliency(embedded, gradients).tolist() == [[0.5, -1.0, 0.0]]
