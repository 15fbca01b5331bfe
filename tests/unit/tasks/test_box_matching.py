"""Hits of detections, by hand, as COCO counts them."""

import torch
from torch import Tensor

from raytl.rows import Padded, padded
from raytl.scoring.box_metrics import IOUS
from raytl.tasks.box_matching import hits


def true(*rows: list[list[float]]) -> Padded:
    return padded([torch.tensor(row).reshape(-1, 5) for row in rows])


def said(*rows: list[list[float]]) -> Tensor:
    out = torch.zeros(len(rows), 4, 6)
    out[..., 4:] = -1
    for row, boxes in enumerate(rows):
        out[row, : len(boxes)] = torch.tensor(boxes).reshape(-1, 6)
    return out


def test_a_detection_hits_up_to_its_iou() -> None:
    found = hits(said([[0, 0, 10, 8, 0.9, 0]]), true([[0, 0, 10, 10, 0]]))  # IoU 0.8
    assert found[0, 0].tolist() == [iou <= 0.8 for iou in IOUS]


def test_a_box_is_hit_once_by_the_surest() -> None:
    found = hits(said([[0, 0, 10, 6, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]), true([[0, 0, 10, 10, 0]]))
    # The first has it at 0.5 … 0.6; where that overlaps too little, it is left to the second.
    assert found[0, 0].tolist() == [True, True, True] + 7 * [False]
    assert found[0, 1].tolist() == [False, False, False] + 7 * [True]


def test_of_two_boxes_a_detection_takes_the_nearer_one() -> None:
    boxes = true([[0, 0, 10, 10, 0], [0, 0, 10, 9, 0]])
    found = hits(said([[0, 0, 10, 9, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]), boxes)
    assert found[0, :2].all()


def test_another_class_is_no_hit() -> None:
    assert not hits(said([[0, 0, 9, 9, 0.9, 1]]), true([[0, 0, 9, 9, 0]])).any()


def test_rows_are_apart_and_may_be_empty() -> None:
    box = [0.0, 0, 9, 9]
    found = hits(said([[*box, 0.9, 0]], [[*box, 0.9, 0]], []), true([[*box, 0]], [], [[*box, 0]]))
    assert found.flatten(1).any(1).tolist() == [True, False, False]
    assert not hits(said([[*box, 0.9, 0]]), true([])).any()
    assert (
        hits(torch.zeros(0, 4, 6), true([[*box, 0]]).with_values(torch.zeros(0, 1, 5))).shape[0]
        == 0
    )
