"""Faster R-CNN over taps: its losses against torchvision's, its pyramid, its detections."""

import math
from typing import Any

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from raytl.config import HeadConfig
from raytl.rows import Padded, cut, padded
from raytl.scoring.box_metrics import DETECTIONS
from raytl.tasks.anchors import Anchors, fitted_anchors, usual_anchors
from raytl.tasks.box_heads import ConstantBoxes, FasterRcnn, levels_of
from raytl.tasks.region_losses import drawn_weights

SHAPE = (32, 32)
TAPS = ((3, 16, 16), (4, 8, 8), (6, 4, 4))
TARGET = padded([
    torch.tensor([[2.0, 3, 12, 12, 0], [14, 14, 31, 24, 1]]), torch.zeros(0, 5),
    torch.tensor([[0.0, 0, 30, 30, 1]]),
])  # fmt: skip


def made(seed: int = 0) -> tuple[FasterRcnn, list[torch.Tensor]]:
    torch.manual_seed(seed)
    head = FasterRcnn(HeadConfig(hidden=8), TAPS, 2, SHAPE, usual_anchors(SHAPE)).train()
    for of in (head.proposals.head.cls_logits, head.regions.box_predictor.cls_score):
        torch.nn.init.normal_(of.weight, std=0.3)
    return head, [torch.randn(3, *shape) for shape in TAPS]


def of_torchvision(head: FasterRcnn, taps: list[torch.Tensor], row: int) -> torch.Tensor:
    """The sum of torchvision's four losses of one image."""
    maps = {str(i): of for i, of in enumerate(head([tap[row : row + 1] for tap in taps]))}
    boxes = TARGET.values[row, : int(TARGET.sizes[row])]
    target = [{"boxes": boxes[:, :4], "labels": boxes[:, 4].long() + 1}]
    image = ImageList(torch.zeros(1, 3, *SHAPE), [SHAPE])
    proposed, first = head.proposals(image, maps, target)
    _, second = head.regions(maps, proposed, [SHAPE], target)
    return torch.stack([*first.values(), *second.values()]).sum()


def test_losses_of_rows_are_torchvisions_where_it_draws_all() -> None:
    head, taps = made()
    head.proposals.fg_bg_sampler.batch_size_per_image = 10**6  # of 960 anchors, all
    head.proposals.fg_bg_sampler.positive_fraction = 1.0
    loss_B = head.row_losses(head(taps), TARGET, 0.0)
    wanted = torch.stack([of_torchvision(head, taps, row) for row in range(3)])
    torch.testing.assert_close(loss_B, wanted, rtol=1e-4, atol=1e-5)


def test_losses_of_rows_are_the_mean_of_what_torchvision_draws() -> None:
    head, taps = made()
    head.proposals.fg_bg_sampler.batch_size_per_image = 40
    head.regions.fg_bg_sampler.batch_size_per_image = 16
    with torch.no_grad():
        loss_B = head.row_losses(head(taps), TARGET, 0.0)
        drawn = torch.stack([of_torchvision(head, taps, 0) for _ in range(200)])
    error = drawn.std() / 200**0.5
    assert drawn.std() > 0.01 and abs(loss_B[0] - drawn.mean()) < 4 * error


def test_a_rows_loss_and_answer_hang_on_no_other_row() -> None:
    head, taps = made()
    out = head(taps)
    loss_B, said_BD6 = head.row_losses(out, TARGET, 0.0), head.detections(out)
    for row in range(3):
        of = slice(row, row + 1)
        own = head([tap[of] for tap in taps])
        torch.testing.assert_close(head.row_losses(own, cut(TARGET, of), 0.0), loss_B[of])
        torch.testing.assert_close(head.detections(own), said_BD6[of], rtol=1e-4, atol=1e-4)


def test_every_parameter_has_a_gradient_also_where_there_is_no_box() -> None:
    head, taps = made()
    empty = Padded(torch.zeros(3, 0, 5), torch.zeros(3, 1, dtype=torch.int64))
    head.row_losses(head(taps), empty, 0.0).mean().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_detections_lie_within_the_image_the_surest_first() -> None:
    head, taps = made()
    said_BD6 = head.eval().detections(head(taps))
    assert said_BD6.shape == (3, DETECTIONS, 6)
    there_BD = said_BD6[..., 5] >= 0
    assert there_BD.any() and (said_BD6[..., 4].diff(dim=1) <= 0).all()
    boxes = said_BD6[there_BD][:, :4]
    assert boxes.min() >= 0 and boxes.max() <= 32 and (boxes[:, 2:] > boxes[:, :2]).all()
    assert (said_BD6[~there_BD] == torch.tensor([0.0, 0, 0, 0, -1, -1])).all()


def test_no_row_gives_no_loss_and_no_detection() -> None:
    head, taps = made()
    out = tuple(of[:0] for of in head(taps))
    assert head.row_losses(out, cut(TARGET, slice(0)), 0.0).shape == (0,)
    assert head.detections(out).shape == (0, DETECTIONS, 6)


def test_the_constant_finds_nothing() -> None:
    head = ConstantBoxes(HeadConfig(), TAPS, 2, SHAPE, usual_anchors(SHAPE))
    out = head([torch.zeros(3, 1)])
    assert head.row_losses(out, TARGET, 0.0).tolist() == [1.0, 0.0, 1.0]
    assert head.detections(out)[..., 4:].unique().tolist() == [-1.0]


@pytest.mark.parametrize(
    ("sides", "levels"),
    [
        ([96, 48, 24, 12, 6], [(1, 2), (2, 3), (3, 4), (4, 5)]),
        ([93, 46, 23, 11], [(1, 2), (2, 3), (3, 4)]),  # not padded, so a little small
        ([192, 48, 12], [(1, 2), (2, 3), (2, 4)]),  # none of stride 8: the next one is scaled
        ([192, 96], [(1, 1)]),  # none of stride 4: the deepest alone
        ([6, 3], [(0, 5), (1, 6)]),
    ],
)
def test_the_maps_of_a_pyramid_are_those_of_stride_4_on(sides: list[int], levels: Any) -> None:
    assert levels_of([(8, side, side) for side in sides], (192, 192)) == levels


@pytest.mark.parametrize("shape", [(100, 100), (60, 100), (96, 64), (23, 50)])
def test_maps_stand_where_their_anchors_do(shape: tuple[int, int]) -> None:
    side = max(shape)
    taps = [(2, math.ceil(side / 4), math.ceil(side / 4)), (2, side // 16, side // 16)]
    head = FasterRcnn(HeadConfig(hidden=2), taps, 2, shape, usual_anchors(shape))
    head.pyramid = torch.nn.Identity()
    given = [torch.stack(middles(tap[1:], shape))[None] for tap in taps]  # a map says where it is
    maps = head(given)
    (anchors,) = head.proposals.anchor_generator(ImageList(maps[0], [shape]), maps)
    parts = anchors.split([of[0, 0].numel() * len(anchors) // cells(maps) for of in maps])
    for (number, _), of, own in zip(head.levels, maps, parts, strict=True):
        middle_N2 = (own[:, :2] + own[:, 2:]) / 2
        edge = torch.tensor(
            [length / n / 2 for length, n in zip(shape, taps[number][1:], strict=True)]
        )
        size = torch.tensor(shape)
        wanted_N2 = middle_N2.flip(1).clamp(edge, size - edge)  # at an edge, as its last cell
        found_N2 = of[0].flatten(1).T.repeat_interleave(len(own) // of[0, 0].numel(), dim=0)
        torch.testing.assert_close(found_N2, wanted_N2, rtol=1e-4, atol=1e-3)


def middles(cells: tuple[int, ...], shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the cells of a map that covers an image are, down and to the right, in pixels."""
    down, right = (
        (torch.arange(n) + 0.5) * length / n for n, length in zip(cells, shape, strict=True)
    )
    y_HW, x_HW = torch.meshgrid(down, right, indexing="ij")
    return y_HW, x_HW


def cells(maps: tuple[torch.Tensor, ...]) -> int:
    return sum(of[0, 0].numel() for of in maps)


def test_wide_images_have_their_finest_map() -> None:
    taps = [(8, side, side) for side in (320, 160, 80, 40)]  # of 1280 × 1280, stretched
    assert levels_of(taps, (720, 1280)) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert levels_of(taps, (1280, 720)) == [(0, 2), (1, 3), (2, 4), (3, 5)]


def test_anchors_stand_in_the_middle_of_cells_the_smallest_on_the_largest_map() -> None:
    sizes = tuple((float(n), 2.0 * n) for n in range(1, 13))
    anchors = Anchors(sizes, (8, 16))
    maps = [torch.zeros(1, 3, 2, 4), torch.zeros(1, 3, 1, 2)]
    (found,) = anchors(ImageList(torch.zeros(1, 3, 16, 32), [(16, 32)]), maps)
    assert found.shape == (6 * (8 + 2), 4)
    assert found[0].tolist() == [3.5, 3, 4.5, 5] and found[6].tolist() == [11.5, 3, 12.5, 5]
    assert found[-1].tolist() == [24 - 6, 8 - 12, 24 + 6, 8 + 12]


def test_anchors_are_fitted_to_groups_of_boxes() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = 1 + 0.02 * torch.randn(400, 2, generator=generator)
    centres = torch.tensor([[10.0, 10], [40, 20]]).repeat(200, 1)
    found = torch.tensor(fitted_anchors((centres * spread).numpy()))
    assert len(found) == 12 and (found.prod(1).diff() >= 0).all()
    near = (found[:, None] / torch.tensor([[10.0, 10], [40, 20]])).log().abs().amax(2).amin(1)
    assert near.max() < 0.1
    assert fitted_anchors(torch.tensor([[3.0, 5]]).numpy()) == ((3.0, 5.0),) * 12
    assert fitted_anchors(torch.tensor([[3e-15, 5]]).numpy()) == ((0.01, 5.0),) * 12


def test_regions_count_with_the_chance_that_they_are_drawn_with() -> None:
    head, _ = made()
    sampler = head.regions.fg_bg_sampler
    sampler.batch_size_per_image = 4  # one object, three others
    weights = drawn_weights(torch.tensor([1, 2, 0, 0, 0, 0, 0, 0, -1]), sampler)
    assert weights.tolist() == pytest.approx([1 / 8] * 2 + [3 / 24] * 6 + [0])
    assert drawn_weights(torch.tensor([-1, -1]), sampler).tolist() == [0, 0]


def test_the_chance_is_found_without_asking_the_device_how_many_regions_there_are() -> None:
    head, _ = made()
    labels = torch.zeros(9, dtype=torch.int64, device="meta")  # a device that can tell nothing
    assert drawn_weights(labels, head.regions.fg_bg_sampler).shape == (9,)
