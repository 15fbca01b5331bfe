"""Masks: loss, answers, statistics and what is fitted, by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from raytl.config import AugmentConfig
from raytl.modalities.image.augmentation import DRAWS, augment
from raytl.predictions import Predictions
from raytl.scoring.classification import class_iou
from raytl.tasks.columns import LabelColumn
from raytl.tasks.mask_column import VOID, MaskColumn
from raytl.tasks.registry import stored_task, task_of
from raytl.tasks.segmentation import Segmentation

COLUMN = MaskColumn(shape=(2, 2), classes=("sky", "road", "car"))
TASK = Segmentation(COLUMN)
OUT = torch.tensor([[[[2.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
TARGET = torch.tensor([[[0, 1], [1, VOID]]], dtype=torch.uint8)


def test_the_loss_is_cross_entropy_and_dice_of_known_pixels() -> None:
    p = OUT[0].softmax(0).flatten(1)[:, :3]  # the last pixel is VOID
    entropy = -(p[0, 0].log() + p[1, 1].log() + p[1, 2].log()) / 3
    sky = 2 * p[0, 0] / (p[0].sum() + 1)
    road = 2 * (p[1, 1] + p[1, 2]) / (p[1].sum() + 2)  # no pixel is a car: it has no part
    wanted = entropy + 1 - (sky + road) / 2
    assert TASK.loss(OUT, TARGET).tolist() == pytest.approx([wanted.item()], rel=1e-6)


def test_what_stands_at_void_pixels_changes_no_loss() -> None:
    other = OUT.clone()
    other[..., 1, 1] = torch.tensor([-9.0, 9.0, 5.0])
    assert torch.equal(TASK.loss(other, TARGET), TASK.loss(OUT, TARGET))


def test_a_row_without_a_known_pixel_has_a_finite_loss_and_is_not_known() -> None:
    nothing = torch.full_like(TARGET, VOID)
    assert torch.isfinite(TASK.loss(OUT, nothing)).all()
    assert TASK.known(torch.cat([TARGET, nothing])).tolist() == [True, False]


def test_balanced_pixels_weigh_by_their_class() -> None:
    fitted = task_of(COLUMN, [np.array([[[0, 1], [1, VOID]]], np.uint8)])
    out = torch.zeros(1, 3, 2, 2)
    plain, balanced = fitted.loss(out, TARGET), fitted.loss(out, TARGET, balanced=True)
    # 3 pixels, 2 classes: sky weighs 3 / 2, a road pixel 3 / 4; their mean is 1
    assert balanced.item() == pytest.approx(plain.item())
    all_road = torch.where(TARGET == 0, VOID, TARGET)
    gap = fitted.loss(out, all_road) - fitted.loss(out, all_road, balanced=True)
    assert gap.item() == pytest.approx(0.25 * math.log(3))


def test_smoothing_is_torchs() -> None:
    known = torch.tensor([[[0, 1], [1, 2]]], dtype=torch.uint8)
    gap = TASK.loss(OUT, known, 0.2) - TASK.loss(OUT, known)
    smoothed, plain = (F.cross_entropy(OUT, known.long(), label_smoothing=s) for s in (0.2, 0.0))
    assert gap.item() == pytest.approx((smoothed - plain).item(), rel=1e-5)


def test_logits_of_another_size_are_scaled_to_the_masks() -> None:
    small = torch.tensor([1.0, 0.0, 2.0]).view(1, 3, 1, 1)
    assert TASK.predict(small).answer.tolist() == [[[2, 2], [2, 2]]]
    assert torch.equal(TASK.loss(small, TARGET), TASK.loss(small.expand(1, 3, 2, 2), TARGET))


def test_statistics_count_pixels_by_class_and_answer() -> None:
    said = TASK.predict(OUT)
    assert said.answer.tolist() == [[[0, 1], [1, 0]]]
    counts = TASK.statistics(said, TARGET)
    assert counts.tolist() == [[1, 0, 0, 0, 2, 0, 0, 0, 0]]


def test_what_is_measured_is_of_the_pixels_of_all_rows() -> None:
    counts = np.array([[8.0, 2, 0, 0, 6, 0, 0, 0, 0], [0.0, 0, 0, 0, 2, 2, 0, 0, 4]])
    said = Predictions(np.arange(2), np.zeros(2, np.int64), None, statistics_NM=counts)
    found = TASK.measure(said)
    ious = [8 / 10, 8 / 12, 4 / 6]
    assert found["miou"] == pytest.approx(np.mean(ious))
    assert found["dice"] == pytest.approx(np.mean([2 * i / (1 + i) for i in ious]))
    assert found["pixel_accuracy"] == 20 / 24
    assert class_iou(found["confusion"]) == pytest.approx(ious)
    assert found["confusion"] == [[8, 2, 0], [0, 8, 2], [0, 0, 4]]


def test_rows_without_a_mask_are_left_out() -> None:
    counts = np.array([[4.0, 0, 0, 0, 4, 0, 0, 0, 4], [0.0] * 9])
    said = Predictions(np.arange(2), np.array([0, -1]), None, statistics_NM=counts)
    assert TASK.measure(said, ["miou"]) == {"miou": 1.0}


def test_the_constant_is_the_classes_shares_of_pixels() -> None:
    task = task_of(
        COLUMN, [np.array([[[0, 1], [1, VOID]]], np.uint8), np.ones((1, 2, 2), np.uint8)]
    )
    assert task.constant_out().softmax(0).tolist() == pytest.approx([1 / 7.5, 6 / 7.5, 0.5 / 7.5])


def test_masks_move_with_their_images() -> None:
    mask = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    column = MaskColumn(shape=(2, 2), classes=("a", "b", "c", "d"))
    config, draws = AugmentConfig(flip=True, crop=1), np.array([[0.1, 0.0, 0.5]])
    assert draws.shape[1] == DRAWS
    found = Segmentation(column).augmented(torch.from_numpy(mask), config, draws)
    moved = augment(np.repeat(mask[..., None], 3, axis=3), config, draws)
    inside = found != VOID
    assert torch.equal(found[inside], torch.from_numpy(moved[..., 0])[inside])
    assert found.tolist() == [[[VOID, VOID], [1, 0]]]  # flipped, and shifted down from outside


def test_entropy_is_a_share_of_the_greatest() -> None:
    out = torch.cat([torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)])
    out[1, 0] = 50.0
    assert TASK.entropy(out).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_facts_make_the_task_again() -> None:
    again = stored_task(TASK.facts())
    assert isinstance(again, Segmentation) and again.column == COLUMN
    with pytest.raises(ValueError, match="shape"):
        stored_task({"kind": "segmentation", "classes": ["a", "b"], "shape": [0, 2]})


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (LabelColumn(classes=("a", "b")), "asks for masks, and the other for a label"),
        (COLUMN.model_copy(update={"classes": ("sky", "road", "bus")}), "the other's of sky, road"),
        (
            COLUMN.model_copy(update={"shape": (2, 3)}),
            "its masks are 2x2 pixels, and the other's 2",
        ),
    ],
)
def test_other_targets_do_not_suit(other: MaskColumn, why: str) -> None:
    assert why in str(TASK.mismatch(other))
    assert TASK.mismatch(COLUMN) is None
