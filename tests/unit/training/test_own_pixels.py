"""Boxes and masks of raw images are answered in each image's own pixels."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from complete_models import CNN, IMAGE, save_model
from PIL import Image

import raytl
from raytl import verbs
from raytl.tasks.base import Predicted
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.detection import Detection
from raytl.tasks.mask_column import VOID, MaskColumn
from raytl.tasks.segmentation import Segmentation

SIDE = 12
SAID = [[3.0, 3.0, 9.0, 6.0, 0.9, 1.0], [0.0, 0.0, 12.0, 2.0, 0.8, 0.0]]


def photo(path: Path, width: int, height: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def detector(out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    """A model that says SAID of every image, as it is fitted."""

    def said(task: Detection, out: Any, head: Any = None) -> Predicted:
        return Predicted(torch.tensor(SAID).expand(len(out[0]), -1, -1))

    monkeypatch.setattr(Detection, "predict", said)
    task = Detection(BoxColumn(classes=("a", "b"), shape=(SIDE, SIDE)))
    return save_model(out, {"image": IMAGE}, CNN, task=task, head={"name": "faster_rcnn"},
                      kind="box-folder", options={"size": SIDE} | options)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "boxes"),
    [
        ({}, [[15, 10, 45, 20], [0, 0, 60, 6.67]]),
        # 60 x 40 are 12 x 8, between two rows of nothing above and below
        ({"fit": "pad"}, [[15, 5, 45, 20]]),
        # and 18 x 12, of which three columns are cut off on both sides
        ({"fit": "crop"}, [[20, 10, 40, 20], [10, 0, 50, 6.67]]),
        ({"box": 6}, [[0, 0, 60, 20]]),
    ],
)
def test_boxes(
    options: dict[str, Any], boxes: list[list[float]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = photo(tmp_path / "a.png", 60, 40)
    model = detector(tmp_path / "best", monkeypatch, **options)
    (answer,) = raytl.load(model).answers([path])
    assert [found["box"] for found in json.loads(answer["boxes"])] == boxes
    (row,) = verbs.predict(model, path)["answers"]
    assert row == ("a.png", answer["boxes"])


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_masks(fit: str, tmp_path: Path) -> None:
    task = Segmentation(MaskColumn(classes=("sky", "road"), shape=(SIDE, SIDE)))
    path = save_model(tmp_path / "best", {"image": IMAGE}, CNN, task=task,
                      head={"name": "unet", "hidden": 8}, kind="mask-folder",
                      options={"size": SIDE, "fit": fit})  # fmt: skip
    photos = [photo(tmp_path / "a.png", 60, 40), photo(tmp_path / "b.png", 20, 35)]
    masks = list(raytl.load(path).predict(photos)["mask"])
    assert [mask.shape for mask in masks] == [(40, 60), (35, 20)]
    first, second = (mask == VOID for mask in masks)
    if fit == "crop":
        assert first[:, :10].all() and first[:, 50:].all() and not first[:, 10:50].any()
    else:
        assert not first.any() and not second.any()
    (answer,) = raytl.load(path).answers([photos[0]])
    assert Image.open(io.BytesIO(answer["mask"])).size == (60, 40)
