"""From stored images to what a network reads: known answers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from raytl.errors import DataError
from raytl.modalities.image.transform import ImageTransform, transform_of


def test_pixels_are_scaled_and_normalised() -> None:
    transform = ImageTransform((1, 2, 2), (0.5,), (0.25,))
    stored = np.array([[0, 255], [51, 102]], np.uint8).reshape(1, 2, 2, 1)
    expected = (torch.tensor([0.0, 1.0, 0.2, 0.4]) - 0.5) / 0.25
    assert torch.allclose(transform(transform.prepare(stored)).flatten(), expected)


def test_floats_are_taken_as_they_are() -> None:
    transform = ImageTransform((1, 1, 2), (1.0,), (2.0,))
    assert transform(torch.tensor([5.0, -3.0]).view(1, 1, 2, 1)).flatten().tolist() == [2.0, -2.0]


def test_preparing_shares_memory_and_channels_come_first_without_a_copy() -> None:
    stored = np.zeros((2, 4, 4, 3), np.float32)
    transform = ImageTransform((3, 4, 4), (0.0,), (1.0,))
    rows = transform.prepare(stored)
    stored[0, 1, 2, 0] = 7
    assert rows[0, 1, 2, 0] == 7
    x = transform(rows)
    assert x.shape == (2, 3, 4, 4) and x[0, 0, 1, 2] == 7
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert not transform.keeps_prepared


def test_grey_and_colour_are_converted_and_nothing_else() -> None:
    grey = torch.full((1, 2, 2, 1), 255, dtype=torch.uint8)
    assert ImageTransform((3, 2, 2), (0.0,), (1.0,))(grey).shape == (1, 3, 2, 2)
    red = torch.zeros(1, 2, 2, 3)
    red[..., 0] = 1
    as_grey = ImageTransform((1, 2, 2), (0.0,), (1.0,))(red)
    assert torch.allclose(as_grey, torch.full((1, 1, 2, 2), 0.299))
    with pytest.raises(DataError, match="2 channels do not fit a backbone with 3"):
        ImageTransform((3, 2, 2), (0.0,), (1.0,))(torch.zeros(1, 2, 2, 2))


def test_images_are_resized_bilinearly_unless_a_network_was_trained_otherwise() -> None:
    stored = torch.rand(1, 9, 7, 1, generator=torch.Generator().manual_seed(0))
    for mode in ("bilinear", "bicubic"):
        wanted = F.interpolate(stored.permute(0, 3, 1, 2), (4, 4), mode=mode, antialias=True)
        assert torch.equal(ImageTransform((1, 4, 4), (0.0,), (1.0,), mode)(stored), wanted)  # type: ignore[arg-type]


def test_bicubic_pixels_stay_in_their_range() -> None:
    edge = torch.zeros(1, 4, 4, 1, dtype=torch.uint8)
    edge[:, :, 2:] = 255
    assert F.interpolate(edge.permute(0, 3, 1, 2).float(), (8, 8), mode="bicubic").min() < 0
    x = ImageTransform((1, 8, 8), (0.0,), (1.0,), "bicubic")(edge)
    assert x.min() == 0 and x.max() == 1


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_transform_is_had_again_from_its_facts(mode: Any) -> None:
    transform = ImageTransform((3, 8, 8), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), mode)
    facts = transform.facts()
    assert ("interpolation" in facts) == (mode == "bicubic")
    again = transform_of(facts)
    assert again.facts() == facts
    x = torch.rand(2, 5, 5, 3)
    assert torch.equal(again(x), transform(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_shape": [3, 8]}, "input_shape: "),
        ({"input_shape": [3, 0, 8]}, "input_shape: 1: Input should be greater than 0"),
        ({"mean": [0.5, 0.5], "std": [1, 1]}, "must be one number or 3"),
        ({"std": [0.0]}, "std"),
        ({"interpolation": "nearest"}, "interpolation: Input should be 'bilinear' or 'bicubic'"),
        ({"more": 1}, "more: "),
    ],
)
def test_facts_that_are_none_are_refused(change: dict[str, Any], message: str) -> None:
    facts = {"input_shape": [3, 8, 8], "mean": [0.5], "std": [1.0]}
    transform_of(facts)
    with pytest.raises(ValueError, match=message) as caught:
        transform_of(facts | change)
    assert len(str(caught.value).splitlines()) == 1


def test_an_example_is_black() -> None:
    rows = ImageTransform((3, 8, 6), (0.5,), (0.5,)).example(2)
    assert rows.shape == (2, 8, 6, 3) and rows.dtype == torch.uint8 and rows.sum() == 0
