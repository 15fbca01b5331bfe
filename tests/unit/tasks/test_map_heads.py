"""Heads over the maps of a network's blocks."""

from typing import get_args

import pytest
import torch

from raytl.config import TASK_FACTS, HeadConfig, HeadName
from raytl.tasks.map_heads import MAP_HEADS, Taps, scaled

TAPS: Taps = [(4, 9, 11), (6, 5, 6), (8, 3, 3)]


def maps(rows: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, *shape, generator=generator) for shape in TAPS]


def test_the_registry_holds_what_tasks_of_maps_can_have() -> None:
    assert tuple(MAP_HEADS) == TASK_FACTS["segmentation"].heads
    assert set(MAP_HEADS) <= set(get_args(HeadName))


@pytest.mark.parametrize("taps", [TAPS, TAPS[1:], TAPS[2:]])
def test_a_unet_gives_classes_at_the_size_of_the_largest_map(
    taps: Taps,
) -> None:
    head = MAP_HEADS["unet"](HeadConfig(name="unet", hidden=32), taps, 5)
    given = maps()[len(TAPS) - len(taps) :]
    assert head(given).shape == (2, 5, *taps[0][1:])


def test_every_tap_has_a_part_in_a_unets_answer() -> None:
    head = MAP_HEADS["unet"](HeadConfig(name="unet", hidden=32), TAPS, 5).eval()
    given = [tap.requires_grad_() for tap in maps()]
    head(given).square().sum().backward()
    assert all(tap.grad is not None and tap.grad.abs().sum() > 0 for tap in given)


def test_a_linear_head_classifies_the_joined_maps_of_each_pixel() -> None:
    head = MAP_HEADS["linear"](HeadConfig(name="linear"), TAPS, 5).eval()
    given = maps()
    joined = torch.cat(
        [scaled(tap / (1 + 1e-5) ** 0.5, TAPS[0][1:]) for tap in given], dim=1
    )  # a new batch norm in eval mode
    weight = torch.cat([part[2].weight for part in head.parts], dim=1)  # type: ignore[union-attr, index]
    bias = head.parts[0][2].bias  # type: ignore[union-attr, index]
    wanted = torch.einsum("bchw,kc->bkhw", joined, weight[:, :, 0, 0]) + bias.view(1, -1, 1, 1)
    assert torch.allclose(head(given), wanted, atol=1e-5)


def test_a_constant_head_says_the_same_of_every_pixel() -> None:
    head = MAP_HEADS["constant"](HeadConfig(name="constant"), TAPS, 5)
    assert head(maps()).shape == (2, 5, 1, 1)
