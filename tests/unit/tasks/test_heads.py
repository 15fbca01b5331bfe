"""Heads: known answers."""

from typing import get_args

import pytest
import torch

from raytl.config import HeadConfig, HeadName
from raytl.tasks.box_heads import BOX_HEADS
from raytl.tasks.decoders import DECODERS
from raytl.tasks.heads import HEADS, build_head
from raytl.tasks.map_heads import MAP_HEADS


def test_the_registry_holds_what_the_configuration_names() -> None:
    own = {"pretrained_decoder", "naive"}  # of a source model, of a control
    known = HEADS.keys() | MAP_HEADS.keys() | BOX_HEADS.keys() | DECODERS.keys()
    assert known | own == set(get_args(HeadName))


def test_cosine_head_is_scaled_cosine() -> None:
    head = build_head(HeadConfig(name="cosine"), 4, 3)
    z = torch.randn(2, 4)
    expected = 10 * torch.cosine_similarity(z.unsqueeze(1), head.weight.unsqueeze(0), dim=2)  # type: ignore[operator]
    assert torch.allclose(head(z), expected, atol=1e-5)


@pytest.mark.parametrize("dim", [3, 64, 500])
def test_cnn_fc_takes_any_width(dim: int) -> None:
    assert build_head(HeadConfig(name="cnn_fc"), dim, 7)(torch.randn(2, dim)).shape == (2, 7)
