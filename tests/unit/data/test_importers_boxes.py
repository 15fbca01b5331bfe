"""Folders of images and boxes, of VOC's XML and COCO's JSON, whole and broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upright import photo

from raytl.data.dataset import Dataset
from raytl.data.fitting import fit_boxes, fit_images
from raytl.data.importers.inputs import InputPart, ragged_input
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.errors import ConfigError, DataError
from raytl.tasks.box_column import BoxColumn

Box = tuple[str, float, float, float, float]
A: Box = ("cell", 1, 2, 9, 10)
B: Box = ("dust", 10, 0, 20, 6)


def image(path: Path, width: int = 20, height: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


def xml(path: Path, *boxes: Box, size: tuple[int, int] = (20, 12), more: str = "") -> None:
    objects = "".join(
        f"<object><name>{name}</name>{more}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in boxes
    )
    header = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{header}{objects}</annotation>", encoding="utf-8")


def voc(root: Path, **lists: list[str]) -> Path:
    for name, boxes in (("a", [A]), ("b", [A, B]), ("c", [])):
        image(root / "JPEGImages" / f"{name}.png")
        xml(root / "Annotations" / f"{name}.xml", *boxes)
    for name, names in lists.items():
        file = root / "ImageSets" / "Main" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names), encoding="utf-8")
    return root


def coco(root: Path, **changes: Any) -> Path:
    image(root / "train2017" / "a.png")
    image(root / "train2017" / "b.png")
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 20, "height": 12},
            {"id": 7, "file_name": "b.png"},
        ],
        "categories": [{"id": 3, "name": "dust"}, {"id": 90, "name": "cell"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 90, "bbox": [1, 2, 8, 8]},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [10, 0, 10, 6], "iscrowd": 0},
            {"id": 3, "image_id": 1, "category_id": 3, "bbox": [0, 0, 20, 12], "iscrowd": 1},
        ],
    } | changes  # fmt: skip
    file = root / "annotations" / "instances_train2017.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return root


def read(source: Path, out: Path, **options: Any) -> tuple[Dataset, ShardReport]:
    found = shard("box-folder", str(source), out, options=shard_options(**options))
    return Dataset.open(out), found


def boxes_of(dataset: Dataset, split: str = "train") -> list[list[list[float]]]:
    """The boxes of each row, in the order of their files."""
    part = dataset.split(split)
    order = np.argsort(part.ids())
    return [boxes.tolist() for boxes in part.read("boxes", order)]


def test_voc_is_read_with_its_lists(tmp_path: Path) -> None:
    source = voc(tmp_path / "in", train=["a", "c  -1"], test=["b"])
    data, _ = read(source, tmp_path / "out")
    assert data.columns["boxes"].describe() == {
        "kind": "boxes", "shape": [12, 20], "classes": ["cell", "dust"]
    }  # fmt: skip
    assert boxes_of(data) == [[[1, 2, 9, 10, 0]], []]
    assert boxes_of(data, "test") == [[[1, 2, 9, 10, 0], [10, 0, 20, 6, 1]]]


def test_the_folder_above_a_dataset_with_lists_stands_for_it(tmp_path: Path) -> None:
    voc(tmp_path / "kit" / "VOC2007", train=["a", "c"], val=["b"])
    data, _ = read(tmp_path / "kit", tmp_path / "out")
    assert list(data.info.splits) == ["train", "val"]
    assert boxes_of(data) == [[[1, 2, 9, 10, 0]], []]
    voc(tmp_path / "kit" / "VOC2012", train=["a"])
    with pytest.raises(DataError, match=r"kit: VOC2007, VOC2012 are datasets of their own"):
        read(tmp_path / "kit", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_without_lists_all_is_train_and_can_be_cut(tmp_path: Path) -> None:
    data, found = read(voc(tmp_path / "in"), tmp_path / "out")
    assert [len(row) for row in boxes_of(data)] == [1, 2, 0]
    assert any("--test 0.2" in note for note in found.notes)
    cut, _ = read(tmp_path / "in", tmp_path / "cut", test=0.4)
    assert {name: part.rows for name, part in cut.info.splits.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize("folder", ["", "images"])
def test_images_and_files_may_lie_in_folders_of_splits(tmp_path: Path, folder: str) -> None:
    for split in ("train", "valid"):
        image(tmp_path / "in" / split / folder / "a.png")
        xml(tmp_path / "in" / split / ("labels" if folder else "") / "a.xml", A)
    data, _ = read(tmp_path / "in", tmp_path / "out")
    assert boxes_of(data) == boxes_of(data, "valid") == [[[1, 2, 9, 10, 0]]]


def test_coco_is_read_and_crowds_are_left_out(tmp_path: Path) -> None:
    data, found = read(coco(tmp_path / "in"), tmp_path / "out")
    assert boxes_of(data) == [[[1, 2, 9, 10, 0], [10, 0, 20, 6, 1]], []]
    assert "boxes that are marked difficult or crowd, left out: 1" in found.notes


def test_coco_beside_its_images_is_named_by_the_folder(tmp_path: Path) -> None:
    coco(tmp_path / "made")
    for split in ("train", "test"):
        (tmp_path / "in" / split).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            image(tmp_path / "in" / split / name)
        text = (tmp_path / "made/annotations/instances_train2017.json").read_text(encoding="utf-8")
        (tmp_path / "in" / split / "_annotations.coco.json").write_text(text, encoding="utf-8")
    data, _ = read(tmp_path / "in", tmp_path / "out")
    assert boxes_of(data) == boxes_of(data, "test") and set(data.info.splits) == {"train", "test"}


def test_other_annotations_of_cocos_own_folder_are_passed_over(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    for name in ("a.png", "b.png"):
        image(source / "val2017" / name)
    held = (source / "annotations" / "instances_train2017.json").read_text(encoding="utf-8")
    for name in ("person_keypoints_train2017", "instances_val2017"):
        (source / "annotations" / f"{name}.json").write_text(held, encoding="utf-8")
    captions = json.loads(held) | {"annotations": [{"id": 1, "image_id": 1, "caption": "a cell"}]}
    text = json.dumps(captions)
    (source / "annotations" / "captions_val2017.json").write_text(text, encoding="utf-8")
    data, _ = read(source, tmp_path / "out")
    assert set(data.info.splits) == {"train", "val"}
    assert boxes_of(data) == boxes_of(data, "val") == [[[1, 2, 9, 10, 0], [10, 0, 20, 6, 1]], []]


def test_boxes_are_put_right_and_counted(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    bad: list[Box] = [("cell", 5, 5, 5, 9), ("cell", 30, 1, 40, 5), ("dust", -4, 3, 6, 90)]
    xml(source / "Annotations" / "c.xml", A, *bad)
    xml(source / "Annotations" / "a.xml", B, more="<difficult>1</difficult>")
    data, found = read(source, tmp_path / "out")
    assert boxes_of(data)[0] == [] and boxes_of(data)[2] == [[1, 2, 9, 10, 0], [0, 3, 6, 12, 1]]
    assert found.notes[:4] == [
        "boxes without an area, left out: 1, the first one in c.png",
        "boxes outside their image, left out: 1, the first one in c.png",
        "boxes partly outside their image, cut off at its edge: 1, the first one in c.png",
        "boxes that are marked difficult or crowd, left out: 1",
    ]


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("box", [None, 15])
@pytest.mark.parametrize("shape", [(12, 20), (33, 20), (7, 50)])
def test_boxes_go_where_fitting_puts_what_they_hold(
    fit: Any, box: int | None, shape: tuple[int, int]
) -> None:
    height, width = shape
    drawn = np.zeros((1, height * 8, width * 8, 1), np.uint8)
    corners = np.array([width * 3, height * 2, width * 5, height * 7])
    drawn[0, corners[1] : corners[3], corners[0] : corners[2]] = 255
    (shown,) = fit_images(drawn, 24, fit, box)[..., 0] > 127
    found = fit_boxes(corners[None].astype(float), drawn.shape[1:3], 24, fit, box)[0]
    if not shown.any():  # all of it was cropped away
        assert found[2] - found[0] < 1 or found[3] - found[1] < 1
        return
    down, right = np.nonzero(shown)
    edges = [right.min(), down.min(), right.max() + 1, down.max() + 1]
    frame = np.array([4, 4, 19, 19] if box else [0, 0, 24, 24])  # beyond it is nothing
    assert (found[:2] >= frame[:2]).all() and (found[2:] <= frame[2:]).all()
    assert np.abs(found - edges).max() < 1.01


def test_images_of_several_sizes_are_fitted_with_their_boxes(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    image(source / "JPEGImages" / "a.png", 40, 48)
    xml(source / "Annotations" / "a.xml", ("cell", 4, 8, 36, 40), size=(40, 48))
    with pytest.raises(
        ConfigError, match=r"images are of 2 sizes \(20 x 12, 40 x 48, …\); give --"
    ):
        read(source, tmp_path / "out")
    data, _ = read(source, tmp_path / "out", size=24)
    assert boxes_of(data)[0] == [pytest.approx([2.4, 4, 21.6, 20, 0])]
    assert boxes_of(data)[1][1] == pytest.approx([12, 0, 24, 12, 1])
    cropped, found = read(source, tmp_path / "cropped", size=12, fit="crop")
    assert boxes_of(cropped)[1] == [[0, 2, 5, 10, 0], [6, 0, 12, 6, 1]]
    assert len(found.notes) == 1
    small = [("dust", 0, 0, 3, 3), A]
    xml(source / "Annotations" / "b.xml", *small)
    _, found = read(source, tmp_path / "smaller", size=12, fit="crop", classes="cell,dust")
    assert any(
        note.startswith("boxes outside what --fit crop keeps of their image, left out: 1")
        for note in found.notes
    )


def test_what_is_cropped_away_of_a_box_in_a_frame_has_no_box(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    for name in ("a", "b", "c"):
        image(source / "JPEGImages" / f"{name}.png", 40, 12)
        # The middle 12 pixels are kept, and lie at 6 to 18 of 24.
        boxes = [("cell", 2, 2, 12, 10), ("dust", 10, 0, 20, 6)]
        xml(source / "Annotations" / f"{name}.xml", *boxes, size=(40, 12))
    data, found = read(source, tmp_path / "out", size=24, box=12, fit="crop", classes="cell,dust")
    assert boxes_of(data) == [[[6, 6, 12, 12, 1]]] * 3
    assert found.notes[0].startswith("boxes outside what --fit crop keeps of their image, left out")


def test_slivers_of_boxes_are_left_out_and_counted(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    for name in ("a", "b", "c"):
        image(source / "JPEGImages" / f"{name}.png", 40, 12)
        # The middle 12 pixels, 14 to 26, are kept
        boxes = [
            A,
            ("dust", 4, 2, 14 + 4e-15, 10),
            ("dust", 20, 3, 24, 9),
            ("dust", 25.5, 0, 30, 9),
        ]
        xml(source / "Annotations" / f"{name}.xml", *boxes, size=(40, 12))
    data, found = read(source, tmp_path / "out", size=12, fit="crop", classes="cell,dust")
    assert boxes_of(data) == [[[6, 3, 10, 9, 1]]] * 3
    assert found.notes[:2] == [
        "boxes outside what --fit crop keeps of their image, left out: 3, the first one in a.png",
        "boxes of which less than a pixel is left, left out: 6, the first one in a.png",
    ]
    xml(source / "Annotations" / "b.xml", ("dust", -5, 0, 0.5, 9), A, size=(40, 12))
    data, found = read(source, tmp_path / "whole", classes="cell,dust")
    assert [1, 2, 9, 10, 0] in boxes_of(data)[1] and len(boxes_of(data)[1]) == 1
    assert found.notes[1].startswith("boxes of which less than a pixel is left, left out: 1")


def test_unlabelled_images_are_no_images_without_objects(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    (source / "Annotations" / "c.xml").unlink()
    with pytest.raises(DataError, match=r"c\.png: no XML file of this name \(1 such\); add it, an"):
        read(source, tmp_path / "out")
    data, _ = read(source, tmp_path / "out", unlabelled=True)
    part = data.split("train")
    rows = part.read("boxes", np.arange(3))
    assert sum(row is None for row in rows) == 1


def test_unlabelled_images_are_written_alike_in_parts(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    (source / "Annotations" / "c.xml").unlink()
    alone, _ = read(source, tmp_path / "out", unlabelled=True)
    options = shard_options(unlabelled=True)
    report = shard("box-folder", str(source), tmp_path / "parts", options=options, each=map)
    assert report.info == alone.info


def test_an_image_without_a_file_is_another_than_one_without_objects(tmp_path: Path) -> None:
    column = BoxColumn(shape=(8, 8), classes=("cell", "dust"), nulls=True)
    boxes = np.zeros((1, 5), np.float32)
    held = [[None], [boxes[:0]], [boxes], [None, boxes], [boxes, None], [None, None]]
    digests = {
        InputPart({"boxes": ragged_input(column, rows)}, len(rows)).digest() for rows in held
    }
    assert len(digests) == len(held)


def test_classes_have_the_order_that_is_given(tmp_path: Path) -> None:
    data, _ = read(voc(tmp_path / "in"), tmp_path / "out", classes="dust,cell,scratch")
    assert boxes_of(data)[0] == [[1, 2, 9, 10, 1]]
    with pytest.raises(DataError, match="--classes: boxes are of class 'dust' too, which is not"):
        read(tmp_path / "in", tmp_path / "other", classes="cell,scratch")


def test_an_image_that_does_not_decode_is_refused_or_skipped(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    (source / "JPEGImages" / "b.png").write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"b\.png: does not decode.*; mend or remove it, or give --"
    ):
        read(source, tmp_path / "out")
    data, found = read(source, tmp_path / "out", skip_bad=True)
    assert data.info.splits["train"].rows == 2 and len(found.skipped) == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<annotation><object>", r"a\.xml: no XML that can be read"),
        (
            "<annotation><object><bndbox/></object></annotation>",
            r"a\.xml, object 0: it has no name of a class",
        ),
        (
            "<annotation><object><name>cell</name></object></annotation>",
            "must have the numbers xmin, ymin, xmax, yma",
        ),
        (
            "<annotation><object><name>cell</name><bndbox><xmin>1</xmin><ymin>two</ymin><xmax>3</xmax>"
            "<ymax>4</ymax></bndbox></object></annotation>",
            "but has '1', 'two', '3', '4'",
        ),
        (
            "<annotation><object><name>cell</name><bndbox><xmin>1</xmin><ymin>nan</ymin><xmax>3</xmax>"
            "<ymax>4</ymax></bndbox></object></annotation>",
            "object 0: a box has a number that is not finite",
        ),
        ("<svg><g/></svg>", r"a\.xml: its root is <svg>, where VOC has <annotation>"),
        (
            "<annotation><size><width>inf</width><height>9</height></size></annotation>",
            r"a\.xml, size: .* a number that is not finite",
        ),
        (
            "<annotation><size><width>9</width><height>9</height></size></annotation>",
            r"a\.png: boxes of 9 x 9 pixels for an image of 20 x 12; mend or remove it",
        ),
    ],
)
def test_xml_files_that_are_no_annotations_are_refused(
    tmp_path: Path, text: str, wanted: str
) -> None:
    source = voc(tmp_path / "in")
    (source / "Annotations" / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=wanted):
        read(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"annotations": [{"image_id": 5, "category_id": 3, "bbox": [0, 0, 1, 1]}]},
         "annotation 0: image_id 5 is not among the file's"),
        ({"annotations": [{"image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1]}]},
         "annotation 0: category_id 4 is not among the file's"),
        ({"annotations": [{"image_id": 1, "category_id": 3}]}, "0: an object must have 'bbox'"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [0, 1, 2]}]},
         r"annotation 0: bbox must be left, top, width and height, got \[0, 1, 2\]"),
        ({"annotations": [{"image_id": [1], "category_id": 3, "bbox": [0, 0, 1, 1]}]},
         r"an object must have 'image_id', but one has \[1\]"),
        ({"annotations": [3]}, "'annotations' must be a list of objects with their ids"),
        ({"images": [{"id": 1, "file_name": "z.png"}], "annotations": []},
         r"image z\.png is neither beside it nor in"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2},
         r"each image must have an id of its own, but 2 images have 1"),
        ({"images": [{"id": 1, "file_name": "a.png"}, {"id": 7, "file_name": "./a.png"}]},
         r"a\.png: two of the annotations' images are this file \(split train\)"),
        ({"annotations": [{"image_id": "1", "category_id": 3, "bbox": [0, 0, 1, 1]}]},
         "annotation 0: image_id '1' is not among the file's, 1, 7"),
        ({"categories": [{"id": 3, "name": "dust"}, {"id": 3, "name": "cell"}]},
         "category 3 has two names; give each category an id and a name"),
        ({"categories": [{"id": 3, "name": " "}]}, "category 3 has an empty name"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [10**400, 0, 1, 1]}]},
         "annotation 0: a box has a number that is not finite, or a side more pixels"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1e308, 1]}]},
         "annotation 0: a box has a number that is not finite, or a side more pixels"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [0.1, 0.2, 0.5, 0.8]}]},
         "no box reaches beyond the first pixel of its image; corners are pixels, not shares"),
        ({"annotations": []}, "none of the images that can be read has a box; look at the sour"),
    ],
)  # fmt: skip
def test_json_files_that_are_no_annotations_are_refused(
    tmp_path: Path, changes: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(DataError, match=wanted):
        read(coco(tmp_path / "in", **changes), tmp_path / "out")


def test_json_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    (source / "annotations" / "instances_train2017.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"instances_train2017\.json: no JSON that can be read"):
        read(source, tmp_path / "out")


def test_an_image_of_two_splits_is_refused(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    text = (source / "annotations" / "instances_train2017.json").read_text(encoding="utf-8")
    moved = text.replace('"file_name": "', '"file_name": "../train2017/')
    (source / "annotations" / "val.json").write_text(moved, encoding="utf-8")
    (source / "val").mkdir()
    with pytest.raises(DataError, match=r"are this file \(split train and val\); give it one"):
        read(source, tmp_path / "out")


def test_json_with_a_mark_in_front_is_read(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    file = source / "annotations" / "instances_train2017.json"
    file.write_text("\ufeff" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert read(source, tmp_path / "out")[0].info.splits["train"].rows == 2


def test_folders_are_found_whatever_letters_they_are_written_in(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    (source / "JPEGImages").rename(source / "jpegimages")
    (source / "Annotations").rename(source / "ANNOTATIONS")
    assert read(source, tmp_path / "out")[0].info.splits["train"].rows == 3


def test_xml_files_without_an_image_are_told(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    xml(source / "Annotations" / "lost.xml", A)
    _, found = read(source, tmp_path / "out")
    assert [why.partition(": ")[2] for why in found.skipped] == ["an XML file without an image"]


@pytest.mark.parametrize("labels", ["labels/train", "train/labels", "."])
def test_boxes_of_yolo_are_refused_by_name(tmp_path: Path, labels: str) -> None:
    source = tmp_path / "in"
    image(source / labels.replace("labels", "images") / "a.png")
    (source / labels).mkdir(parents=True, exist_ok=True)
    (source / labels / "a.txt").write_text("0 0.5 0.5 0.25 .2\n1 0.1 0.1 0.1 0.1\n")
    with pytest.raises(DataError, match=r"a\.txt: has boxes as YOLO writes them.*COCO's JSON"):
        read(source, tmp_path / "out")


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    text = (source / "annotations" / "instances_train2017.json").read_text(encoding="utf-8")
    (source / "annotations" / "train.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"train\.json: it has the split train, as .* has; keep one"
    ):
        read(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ({"train": ["a", "z"]}, r"train\.txt: z has no image; add it, or take it out of the list"),
        ({"train": ["a"], "test": ["a"]}, r"test\.txt: a is listed in train already; list it once"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    tmp_path: Path, lists: dict[str, list[str]], wanted: str
) -> None:
    with pytest.raises(DataError, match=wanted):
        read(voc(tmp_path / "in", **lists), tmp_path / "out")


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    source = voc(tmp_path / "in", train=["a"])
    (source / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"train\.txt: a list of names must be UTF-8"):
        read(source, tmp_path / "out")


def test_images_that_no_list_names_are_skipped(tmp_path: Path) -> None:
    data, found = read(voc(tmp_path / "in", train=["a", "b"]), tmp_path / "out")
    assert data.info.splits["train"].rows == 2
    assert [why.endswith("c.png: listed in no split") for why in found.skipped] == [True]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    source = voc(tmp_path / "in")
    image(source / "JPEGImages" / "a.jpg")
    with pytest.raises(DataError, match=r"two images are called a; remove one"):
        read(source, tmp_path / "out")


def test_folders_without_boxes_are_refused_with_what_to_give(tmp_path: Path) -> None:
    image(tmp_path / "in" / "a.png")
    for source in (tmp_path / "in", tmp_path / "none"):
        with pytest.raises(DataError, match="give SOURCE/JPEGImages and SOURCE/Annotations"):
            read(source, tmp_path / "out")


def test_boxes_are_those_of_the_upright_image(tmp_path: Path) -> None:
    root = voc(tmp_path / "in")
    for name in "abc":
        (root / "JPEGImages" / f"{name}.png").write_bytes(photo(size=(12, 20)))
    report = shard("box-folder", str(root), tmp_path / "out", options=shard_options())
    part = Dataset.open(tmp_path / "out").split("train")
    image_BHWC = part.read("image", np.arange(part.rows))
    assert image_BHWC.shape[1:] == (12, 20, 3) and report.skipped == []
    assert image_BHWC[:, :6].all() and not image_BHWC[:, 6:].any()
    xml(root / "Annotations" / "a.xml", A, size=(12, 20))
    with pytest.raises(DataError, match=r"boxes of 12 x 20 pixels for an image of 20 x 12, turned"):
        shard("box-folder", str(root), tmp_path / "other", options=shard_options())


def test_a_box_in_a_frame_needs_the_frames_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--box 10 is a square in a frame of --size.*give both"):
        read(voc(tmp_path / "in"), tmp_path / "out", box=10)
    assert not (tmp_path / "out").exists()


def test_a_list_with_a_mark_in_front_is_read(tmp_path: Path) -> None:
    source = voc(tmp_path / "in", train=["\ufeffa", "b"], val=["c"])
    data, _ = read(source, tmp_path / "out")
    assert data.info.splits["train"].rows == 2
