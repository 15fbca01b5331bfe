"""Fitting images into a frame: known answers."""

import numpy as np
import pytest

from raytl.data.fitting import fit_images
from raytl.errors import DataError

WIDE = np.full((1, 4, 8, 1), 200, np.uint8)


def test_stretch_pad_and_crop_of_a_wide_image() -> None:
    assert fit_images(WIDE, 4, "stretch").tolist() == np.full((1, 4, 4, 1), 200).tolist()
    padded = fit_images(WIDE, 4, "pad")[0, :, :, 0]
    assert padded.tolist() == [[0] * 4, [200] * 4, [200] * 4, [0] * 4]
    assert fit_images(WIDE, 4, "crop").tolist() == np.full((1, 4, 4, 1), 200).tolist()


def test_crop_cuts_the_middle_out() -> None:
    image = np.zeros((1, 2, 6, 1), np.uint8)
    image[:, :, 2:4] = 255
    assert (fit_images(image, 2, "crop") == 255).all()


def test_box_is_centred_in_a_zero_frame() -> None:
    framed = fit_images(np.full((2, 16, 16, 1), 9, np.uint8), 28, box=20)
    assert framed.shape == (2, 28, 28, 1)
    assert (framed[:, 4:24, 4:24] == 9).all()
    assert framed.sum() == 2 * 400 * 9
    with pytest.raises(DataError, match="box <= size must hold, got box=30, size=28"):
        fit_images(WIDE, 28, box=30)


def test_floats_stay_floats() -> None:
    image = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert fit_images(image, 8).dtype == np.float32
    assert fit_images(image, 4) is not None
