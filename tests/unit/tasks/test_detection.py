"""Boxes: targets, statistics and what is fitted, by hand."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from raytl.config import AugmentConfig, HeadConfig
from raytl.errors import DataError
from raytl.modalities.image.augmentation import augment
from raytl.modalities.ragged import as_rows
from raytl.predictions import Predictions
from raytl.tasks.base import Predicted
from raytl.tasks.box_column import EMPTY, BoxColumn
from raytl.tasks.box_heads import FasterRcnn
from raytl.tasks.columns import LabelColumn
from raytl.tasks.detection import Detection
from raytl.tasks.map_heads import scaled
from raytl.tasks.registry import stored_task, task_of

COLUMN = BoxColumn(shape=(20, 30), classes=("cell", "dust"), nulls=True)
TASK = Detection(COLUMN)
ONE = np.array([[2, 3, 12, 9, 1]], np.float32)
TWO = np.array([[0, 0, 4, 4, 0], [5, 5, 30, 20, 1]], np.float32)


def rows(*values: np.ndarray | None) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def answer(*boxes: list[float]) -> Predicted:
    found = torch.zeros(1, 100, 6)
    found[..., 4:] = -1
    found[0, : len(boxes)] = torch.tensor(boxes).reshape(-1, 6)
    return Predicted(found)


def test_rows_with_none_and_rows_not_labelled_are_apart() -> None:
    target = TASK.prepare(rows(ONE, EMPTY, None, TWO))
    assert target.values.shape == (4, 2, 5) and target.sizes[:, 0].tolist() == [1, 0, -1, 2]
    assert TASK.known(target).tolist() == [True, True, False, True]
    assert target.mask.sum(1).tolist() == [1, 0, 0, 2]
    assert TASK.known(np.array([0, -1])).tolist() == [True, False]
    assert TASK.prepare(rows()).values.shape == (0, 0, 5)


@pytest.mark.parametrize("draws", [[0.1, 0.5, 0.5], [0.9, 0.0, 0.99], [0.2, 0.99, 0.3]])
def test_boxes_move_as_their_images_do(draws: list[float]) -> None:
    config, draws_B3 = AugmentConfig(flip=True, crop=2), np.array([draws])
    image = np.zeros((1, 20, 30, 1), np.uint8)
    image[0, 3:9, 2:12] = 255
    shown = augment(image, config, draws_B3)[0, ..., 0]
    down, right = np.nonzero(shown)
    found = TASK.augmented(TASK.prepare(rows(ONE)), config, draws_B3)
    box = [right.min(), down.min(), right.max() + 1, down.max() + 1, 1]
    assert found.values[0, 0].tolist() == box


def test_a_box_that_is_shifted_out_is_left_out_and_an_unlabelled_row_stays_one() -> None:
    edge = np.array([[29, 0, 30, 4, 0]], np.float32)
    draws = np.array([[0.9, 0.5, 0.0]] * 2)  # five pixels to the right
    target = TASK.prepare(rows(edge, None))
    found = TASK.augmented(target, AugmentConfig(crop=5), draws)
    assert found.sizes[:, 0].tolist() == [0, -1]


def test_statistics_are_scores_classes_hits_and_boxes() -> None:
    said = answer([2, 3, 12, 9, 0.9, 1], [2, 3, 12, 9, 0.8, 0])
    found = TASK.statistics(said, TASK.prepare(rows(ONE)))[0]
    assert found.shape == (302,)
    assert found[:3].tolist() == pytest.approx([0.9, 0.8, -1])
    assert found[100:103].tolist() == [1, 0, -1]
    assert found[200:203].tolist() == [1023, 0, 0]
    assert found[300:].tolist() == [0, 1]


def test_what_is_measured_leaves_out_rows_that_are_not_labelled() -> None:
    target = TASK.prepare(rows(ONE, None))
    said = Predicted(torch.cat([answer([2, 3, 12, 9, 0.9, 1]).answer, answer().answer]))
    statistics = TASK.statistics(said, target).numpy()
    found = Predictions(np.arange(2), np.array([0, -1]), None, statistics_NM=statistics)
    assert TASK.measure(found) == {"map50": 1.0, "map": pytest.approx(1.0)}


def test_answers_are_written_as_json() -> None:
    (text,) = TASK.encoded(answer([2, 3, 12.126, 9, 0.91234, 1]))
    assert json.loads(text) == [{"class": "dust", "score": 0.9123, "box": [2, 3, 12.13, 9]}]
    assert TASK.encoded(answer()) == ["[]"]


def test_a_picture_has_truth_and_answer_side_by_side() -> None:
    image = np.full((20, 30, 3), 90, np.uint8)
    sure, unsure = (answer([5, 5, 25, 15, score, 0]).answer[0].numpy() for score in (0.9, 0.1))
    pictures = (TASK.picture(image, ONE, sure), TASK.picture(image, None, unsure))
    drawn, none = (np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures)
    assert drawn.shape == none.shape == (213, 2 * 320 + 4, 3)
    assert (none[:, :320] == 90).all() and (
        none[:, 324:] == 90
    ).all()  # a score of 0.1 is not shown
    assert (drawn[:, :320] != 90).any() and (drawn[:, 324:] != 90).any()


def test_anchors_are_fitted_and_stored() -> None:
    task = task_of(COLUMN, [rows(ONE, None), rows(TWO, EMPTY)])
    assert (10.0, 6.0) in task.anchors and len(task.anchors) == 12
    again = stored_task(json.loads(json.dumps(task.facts())))
    assert again.anchors == task.anchors and again.column.classes == COLUMN.classes
    assert task_of(COLUMN, []).anchors is None


def test_heads_of_folders_of_before_read_maps_as_they_did() -> None:
    facts = dict(task_of(COLUMN, [rows(ONE)]).facts())
    taps = [(2, 8, 8), (2, 4, 4)]  # of images of 20 × 30
    config = HeadConfig(name="faster_rcnn", hidden=2)
    without = {key: fact for key, fact in facts.items() if key != "centred"}
    new, old = (stored_task(of).head(config, 2, taps) for of in (facts, without))
    assert isinstance(new, FasterRcnn) and isinstance(old, FasterRcnn)
    assert (new.centred, old.centred) == (True, False)
    assert (new.levels, old.levels) == ([(0, 2), (1, 3)], [(1, 2)])
    torch.manual_seed(0)
    given = [torch.randn(1, *tap) for tap in taps]
    old.pyramid = torch.nn.Identity()
    (found,) = old(given)
    torch.testing.assert_close(found, scaled(given[1], (5, 8)))


def test_rows_without_any_box_are_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="the 2 labelled training rows have no box, so that there"):
        task_of(COLUMN, [rows(EMPTY, EMPTY)])


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"classes": ["a"]}, "shape"),
        ({"classes": ["a"], "shape": [4, 4], "anchors": [[1, 2]]}, "anchors: must be 12 widths"),
        ({"classes": ["a"], "shape": [4, 4], "anchors": [[1, -2]] * 12}, "anchors: must be 12 wid"),
    ],
)
def test_facts_that_are_none_are_refused(facts: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        stored_task({"kind": "detection"} | facts)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (LabelColumn(classes=("cell", "dust")), "it asks for boxes, and the other for a label"),
        (COLUMN.model_copy(update={"classes": ("dust",)}), "its boxes are of cell, dust, and the"),
        (COLUMN.model_copy(update={"shape": (9, 9)}), "of images of 20x30 pixels, .* of 9x9"),
    ],
)
def test_columns_that_do_not_match_are_told(other: object, text: str) -> None:
    import re

    assert re.search(text, TASK.mismatch(other) or "")
    assert TASK.mismatch(COLUMN) is None


def test_a_column_keeps_rows_without_boxes_and_without_labels() -> None:
    values = rows(ONE, EMPTY, None, TWO)
    COLUMN.check(values)
    array = COLUMN.to_arrow(values)
    assert array.type == COLUMN.arrow_type and array.null_count == 1
    COLUMN.verify(array)
    found = COLUMN.reader([array.slice(0, 2), array.slice(2)])(np.array([3, 2, 1, 0]))
    assert found[1] is None and [len(found[i]) for i in (0, 2, 3)] == [2, 0, 1]
    assert (found[0] == TWO).all()
    assert COLUMN.there(found).tolist() == [True, False, True, True]
    every = COLUMN.model_copy(update={"nulls": False})
    with pytest.raises(ValueError, match="rows without a value"):
        every.verify(array)
    every.verify(every.to_arrow(as_rows([EMPTY, ONE])))


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ([1, 1, 1, 4, 0], r"must have an area and lie within 30 x 20 pixels, but one is \(1, 1, 1"),
        ([1, 1, 31, 4, 0], "lie within 30 x 20 pixels"),
        ([-1, 1, 3, 4, 0], "lie within 30 x 20 pixels"),
        ([1, 1, 3, float("nan"), 0], "a number that is not finite"),
        ([1, 1, 3, 4, 2], r"classes must lie in 0\.\.1 for 2 classes, but a box has 2"),
        ([1, 1, 3, 4, 0.5], "a box has 0.5"),
    ],
)
def test_boxes_that_cannot_be_are_refused(box: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=f"row 1: .*{text}"):
        COLUMN.check(as_rows([ONE, np.array([ONE[0], box], np.float32)]))


def test_values_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row 0: boxes must be float32 \(n, 5\), got float64"):
        COLUMN.check(as_rows([ONE.astype(np.float64)]))
    with pytest.raises(ValueError, match="row 0: it has no boxes, not even an empty list"):
        COLUMN.model_copy(update={"nulls": False}).check(rows(None))


def test_torchvision_is_loaded_where_boxes_are_asked_for_alone() -> None:
    code = "import sys, raytl.training.trial; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
