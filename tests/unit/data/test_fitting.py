"""Fitting images into a frame: known answers."""

import numpy as np
import pytest

from raytl.data.fitting import Fit, Fitted, Frame, fit_boxes, fit_images
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


HOWS = [
    ("stretch", None),
    ("pad", None),
    ("crop", None),
    ("stretch", 20),
    ("pad", 20),
    ("crop", 20),
]


@pytest.mark.parametrize(("how", "box"), HOWS)
@pytest.mark.parametrize("shape", [(40, 60), (61, 33), (9, 7)])
def test_boxes_and_masks_are_had_back_in_an_images_own_pixels(
    how: Fit, box: int | None, shape: tuple[int, int]
) -> None:
    height, width = shape
    fitted = Fitted(shape, Frame(32, how, box))
    middle = np.array([[0.4 * width, 0.45 * height, 0.55 * width, 0.6 * height]])
    there = fit_boxes(middle, shape, 32, how, box)
    np.testing.assert_allclose(fitted.boxes_back(there), middle, atol=1e-9)
    whole = fitted.boxes_back(np.array([[-5.0, -5.0, 40.0, 40.0]]))[0]
    if how == "crop":
        assert (whole[2:] - whole[:2]).tolist() == pytest.approx([min(shape)] * 2, abs=1)
    else:
        assert whole.tolist() == [0, 0, width, height]

    mask = np.zeros(shape, np.uint8)
    mask[height // 2 :, width // 2 :] = 1
    small = fit_images(
        mask[None, ..., None], 32, how, box, outside=255, nearest=True
    )[0, ..., 0]  # fmt: skip
    back = fitted.mask_back(small, outside=255)
    assert back.shape == shape and (back[back != 255] != mask[back != 255]).mean() < 0.1
    seen = [int((back != 255).any(axis).sum()) for axis in (1, 0)]
    if how == "crop":
        assert seen == pytest.approx([min(shape)] * 2, abs=1)
    else:
        assert seen == [height, width]
