"""Stems that make tokens: formulas of the papers written a second time, padding that shows not."""

import math

import pytest
import torch

from raytl.modalities.stems import Patches, Steps, positions
from raytl.rows import Padded, padded


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_then_cosines_of_falling_rates(width: int) -> None:
    found, half = positions(5, width, torch.device("cpu")), math.ceil(width / 2)
    for s in range(5):
        for d in range(width):
            angle = s * 10_000 ** (-(d % half) / half)
            expected = math.sin(angle) if d < half else math.cos(angle)
            assert found[s, d].item() == pytest.approx(expected, abs=1e-5)


def test_a_step_is_mapped_alone_and_knows_its_place() -> None:
    torch.manual_seed(0)
    stem, rows = Steps(2, 6), padded([torch.randn(5, 2), torch.randn(3, 2)])
    out = stem(rows)
    assert out.sizes.tolist() == [[5], [3]]
    s = 2
    mapped = stem.linear.weight @ rows.values[1, s] + stem.linear.bias
    h = mapped + positions(5, 6, torch.device("cpu"))[s]
    centred = h - h.mean()
    expected = centred / (centred.square().mean() + 1e-5).sqrt()
    torch.testing.assert_close(out.values[1, s], expected)


def test_behind_the_end_of_a_row_stand_zeros_however_far_it_is_padded() -> None:
    torch.manual_seed(0)
    stem, own = Steps(2, 6), torch.randn(3, 2)
    wide = Padded(torch.cat([own, torch.full((4, 2), 9.0)])[None], torch.tensor([[3]]))
    out, alone = stem(wide).values[0], stem(padded([own])).values[0]
    torch.testing.assert_close(out[:3], alone)
    assert not out[3:].any()


def test_patches_are_squares_row_by_row_each_mapped_alone() -> None:
    torch.manual_seed(0)
    stem, x_BCHW = Patches(3, 2, 6), torch.randn(2, 3, 4, 6)
    out = stem(x_BCHW)
    assert out.values.shape == (2, 6, 6) and out.sizes.tolist() == [[6], [6]]
    flat = stem.patches.weight.flatten(1)
    place, bias = torch.device("cpu"), stem.patches.bias
    assert bias is not None
    for s, (row, column) in enumerate([(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]):
        patch = x_BCHW[1, :, row : row + 2, column : column + 2].flatten()
        h = flat @ patch + bias + positions(6, 6, place)[s]
        expected = (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(out.values[1, s], expected)
