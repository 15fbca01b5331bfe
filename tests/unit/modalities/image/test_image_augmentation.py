"""Random augmentation of images, by hand."""

import numpy as np
import pytest

from raytl.config import AugmentConfig
from raytl.modalities.image.augmentation import augment

IMAGE = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)


def test_views_without_augmentation_are_refused() -> None:
    with pytest.raises(ValueError, match="give flip: true or crop: N, or no views"):
        AugmentConfig(views=4)


def test_a_flip_by_hand() -> None:
    both = np.concatenate([IMAGE, IMAGE])
    draws = np.array([[0.4, 0, 0], [0.6, 0, 0]])
    flipped, kept = augment(both, AugmentConfig(flip=True), draws)[..., 0]
    assert flipped.tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert kept.tolist() == IMAGE[0, ..., 0].tolist()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        ((0.0, 0.0), [[0, 0, 0], [0, 1, 2], [0, 4, 5]]),
        ((0.5, 0.5), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ((0.99, 0.5), [[4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        ((0.5, 0.99), [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
    ],
)
def test_a_shift_by_hand(draw: tuple[float, float], expected: list[list[int]]) -> None:
    out = augment(IMAGE, AugmentConfig(crop=1), np.array([[0.0, *draw]]))
    assert out[0, ..., 0].tolist() == expected
