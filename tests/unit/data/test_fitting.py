"""Fitting and input transforms: known answers."""

import numpy as np
import pytest
import torch

from raytl.data.fitting import fit_images
from raytl.data.transforms import InputTransform
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


def test_transform_scales_and_normalises() -> None:
    transform = InputTransform((1, 2, 2), (0.5,), (0.25,))
    x = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8).view(1, 2, 2, 1)
    expected = (torch.tensor([0.0, 1.0, 0.2, 0.4]) - 0.5) / 0.25
    assert torch.allclose(transform(x).flatten(), expected)


def test_transform_converts_grey_and_colour() -> None:
    grey = torch.full((1, 2, 2, 1), 255, dtype=torch.uint8)
    assert InputTransform((3, 2, 2), (0.0,), (1.0,))(grey).shape == (1, 3, 2, 2)
    red = torch.zeros(1, 2, 2, 3)
    red[..., 0] = 1
    assert torch.allclose(
        InputTransform((1, 2, 2), (0.0,), (1.0,))(red), torch.full((1, 1, 2, 2), 0.299)
    )
    with pytest.raises(DataError, match="2 channels do not fit a backbone with 3"):
        InputTransform((3, 2, 2), (0.0,), (1.0,))(torch.zeros(1, 2, 2, 2))
