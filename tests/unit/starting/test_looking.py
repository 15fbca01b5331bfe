"""What raw data are taken for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starting_support import (
    image_arrays,
    images_with_boxes,
    images_with_masks,
    language_pairs,
    lines_of_text,
    pictures,
    series_files,
    sound,
    sounds_by_class,
    table,
)

from raytl.errors import ConfigError, DataError
from raytl.starting import annotated_folders
from raytl.starting.looking import look
from raytl.starting.raw import Raw, Wanted


def seen(path: Path, target: str | None = None, pattern: str | None = None) -> Raw:
    return look(path, Wanted(target, pattern))


MADE: dict[str, tuple[Callable[[Path], Path], str, dict[str, object]]] = {
    "pictures": (pictures, "image-folder", {"skip_bad": True, "size": 16, "test": 0.2}),
    "sounds": (sounds_by_class, "audio-folder", {"skip_bad": True, "test": 0.2}),
    "table.csv": (table, "table", {"target": "target", "test": 0.2}),
    "lines.txt": (lines_of_text, "text-lines", {"test": 0.2}),
    "series": (series_files, "series", {}),
    "masks": (images_with_masks, "mask-folder", {"skip_bad": True, "test": 0.2}),
    "boxes": (images_with_boxes, "box-folder", {"skip_bad": True, "test": 0.2}),
    "arrays.npz": (
        image_arrays,
        "arrays",
        {"splits": {"train": "x_train,y_train", "test": "x_test,y_test"}},
    ),
}


@pytest.mark.parametrize("name", list(MADE))
def test_each_kind_is_recognised(name: str, tmp_path: Path) -> None:
    make, kind, options = MADE[name]
    raw = seen(make(tmp_path / name))
    assert (raw.kind, raw.options) == (kind, options)


MANY = 2100  # more files than by which other kinds are told
COCO = '{"images": [], "annotations": [], "categories": []}'


def pixels(folder: Path, count: int = MANY) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(folder / "0.png")
    content = (folder / "0.png").read_bytes()
    for row in range(1, count):
        (folder / f"{row}.png").write_bytes(content)


def test_boxes_behind_many_images_are_recognised(tmp_path: Path) -> None:
    pixels(tmp_path / "voc/JPEGImages")
    (tmp_path / "voc/Annotations").mkdir()
    for row in range(MANY):
        (tmp_path / "voc/Annotations" / f"{row}.xml").write_text("<annotation/>")
    assert seen(tmp_path / "voc").kind == "box-folder"
    for name, file in {
        "coco": "annotations/instances_train.json", "near": "train/_annotations.coco.json",
        "odd": "train/boxes.json",
    }.items():  # fmt: skip
        root = tmp_path / name
        pixels(root / ("images/train" if name == "coco" else "train"))
        pixels(root / ("images/test" if name == "coco" else "test"), 2)
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(COCO)
        assert seen(root).kind == "box-folder"


def test_boxes_in_the_one_folder_with_lists_have_their_splits(tmp_path: Path) -> None:
    root = images_with_boxes(tmp_path / "kit" / "VOC2007")
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, rows in (("train", range(15)), ("test", range(15, 20))):
        (lists / f"{name}.txt").write_text("\n".join(map(str, rows)), encoding="utf-8")
    raw = seen(tmp_path / "kit")
    assert (raw.kind, raw.options) == ("box-folder", {"skip_bad": True})


def test_boxes_beside_images_are_recognised_by_few_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotated_folders, "NAMES", 12)
    pixels(tmp_path / "in/train", 60)
    for row in range(60):
        (tmp_path / "in/train" / f"{row}.xml").write_text("<annotation/>")
    pixels(tmp_path / "in/test", 60)
    assert seen(tmp_path / "in").kind == "box-folder"


def test_pictures_without_boxes_are_no_images_with_boxes(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/b"):
        pixels(tmp_path / name, 3)
    (tmp_path / "train/notes.json").write_text('{"made": "by hand"}')
    assert seen(tmp_path).kind == "image-folder"


def test_pairs_of_texts_need_the_language_to_write(tmp_path: Path) -> None:
    root = language_pairs(tmp_path / "pairs")
    with pytest.raises(ConfigError, match="--target de or --target en"):
        seen(root)
    raw = seen(root, "de")
    assert raw.options["splits"] == {"test": "test.en,test.de", "train": "train.en,train.de"}


def test_a_folder_alone_in_a_folder_is_looked_into(tmp_path: Path) -> None:
    pictures(tmp_path / "above" / "inside")
    (tmp_path / "above" / "LICENSE").write_text("free")
    (tmp_path / "above" / "__MACOSX" / "inside").mkdir(parents=True)
    assert seen(tmp_path / "above").source == str(tmp_path / "above" / "inside")


def test_splits_of_classes_keep_their_test_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        pictures(tmp_path / "data" / split)
    raw = seen(tmp_path / "data")
    assert "test" not in raw.options  # val stands in for it


def test_folders_of_domains_are_no_splits(tmp_path: Path) -> None:
    for domain in ("amazon", "webcam"):
        pictures(tmp_path / "office" / domain)
    with pytest.raises(DataError, match="none is called train; where they are domains give one"):
        seen(tmp_path / "office")


def test_a_class_of_one_picture_is_refused(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pictures")
    (root / "birds").mkdir()
    Image.new("RGB", (8, 8)).save(root / "birds" / "one.png")
    with pytest.raises(
        DataError, match="needs 3 images at least, .* to test on, but 'birds' has 1"
    ):
        seen(root)


def test_pictures_in_no_class_folder_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "pictures", classes=("cats",))
    with pytest.raises(DataError, match="12 images in no class folder"):
        seen(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "the folder is empty"), (("a.bin", "b.bin"), "holds 2 files .a.bin, b.bin.")],
)
def test_nothing_recognisable_says_what_was_seen(
    names: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).write_bytes(b"\0\1")
    with pytest.raises(DataError, match=message):
        seen(tmp_path / "data")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        seen(tmp_path / "nowhere")


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("a")
    with pytest.raises(DataError, match="'.xyz' is no kind of file that is known"):
        seen(tmp_path / "a.xyz")


def test_names_of_sounds_tell_the_class_where_one_part_can_be_it(tmp_path: Path) -> None:
    for number in range(16):
        sound(tmp_path / "flat" / f"{('yes', 'no')[number % 2]}_{number}.wav", 0.1 + number / 20)
    assert seen(tmp_path / "flat").options["pattern"] == "{label}_{part2}.wav"


def test_names_of_sounds_that_could_tell_several_classes_are_asked_for(tmp_path: Path) -> None:
    for number in range(32):
        name = f"{number % 2}_{('ann', 'bob')[number // 2 % 2]}_{number}.wav"
        sound(tmp_path / "flat" / name, 0.1)
    with pytest.raises(ConfigError, match=r"--pattern '\{label\}_\{group\}_\{part3\}.wav'"):
        seen(tmp_path / "flat")
    raw = seen(tmp_path / "flat", pattern="{label}_{group}_{take}.wav")
    assert raw.kind == "audio-folder"
    assert raw.options["test"] == 0.5  # no more can be tested on


def test_two_groups_at_least_are_tested_on(tmp_path: Path) -> None:
    for number in range(24):
        sound(tmp_path / "flat" / f"{number % 2}_{number // 4}_{number}.wav", 0.1)
    raw = seen(tmp_path / "flat", pattern="{label}_{group}_{take}.wav")
    assert raw.options["test"] == 0.34  # of six


def test_files_that_end_in_their_class_belong_together(tmp_path: Path) -> None:
    (tmp_path / "film.pos").write_text("good\n" * 5)
    (tmp_path / "film.neg").write_bytes("schl\u00fcssig nicht\n".encode("latin-1") * 5)
    raw = seen(tmp_path / "film.pos")
    assert raw.options["class_files"] == {"neg": "film.neg", "pos": "film.pos"}
    assert raw.options["encoding"] == "latin-1"


def test_rows_of_numbers_are_images_if_they_are_square(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.zeros((9, 16)), y_train=np.zeros(9))
    assert seen(tmp_path / "a.npz").options["image_shape"] == "4x4"
    np.savez(tmp_path / "b.npz", x_train=np.zeros((9, 15)), y_train=np.zeros(9))
    with pytest.raises(ConfigError, match="rows of 15 numbers are no square images"):
        seen(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", stuff=np.zeros((9, 16)))
    with pytest.raises(ConfigError, match=r"cannot be told \(stuff \(9, 16\)\)"):
        seen(tmp_path / "c.npz")


def test_the_command_is_what_a_shell_takes(tmp_path: Path) -> None:
    raw = Raw("table", "my data.csv", {"text": ("a", "b"), "skip_bad": True, "test": 0.2}, "")
    told = "raytl shard table 'my data.csv' OUT --text a --text b --skip-bad --test 0.2"
    assert raw.command("OUT") == told


@pytest.mark.parametrize("images", ["images", "JPEGImages", "IMG"])
def test_images_beside_a_folder_that_is_not_known_are_no_class(tmp_path: Path, images: str) -> None:
    for folder in (images, "gt"):
        for row in range(4):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (8, 8)).save(tmp_path / folder / f"{row}.png")
    with pytest.raises(DataError, match=f"a folder is called {images}, .* what is in gt is not"):
        look(tmp_path, Wanted())


def test_boxes_of_yolo_are_recognised_and_refused(tmp_path: Path) -> None:
    for row in range(4):
        Image.new("L", (8, 8)).save(tmp_path / f"{row}.png")
        (tmp_path / f"{row}.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    with pytest.raises(DataError, match="has boxes as YOLO writes them, which are not read"):
        look(tmp_path, Wanted())


def test_years_of_cocos_splits_are_none_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        pixels(tmp_path / split, 3)
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(COCO)
    raw = seen(tmp_path)
    assert (raw.kind, raw.options) == ("box-folder", {"skip_bad": True})


def test_sounds_that_may_lack_a_class_have_none_by_their_names(tmp_path: Path) -> None:
    for row in range(16):
        sound(tmp_path / "shots" / f"mic{row % 2}_{row:03}.wav", 0.1 + row / 100)
    raw = look(tmp_path / "shots", Wanted(unlabelled=True))
    assert raw.options == {"unlabelled": True, "skip_bad": True, "test": 0.2}
    named = look(tmp_path / "shots", Wanted(pattern="{label}_{take}.wav", unlabelled=True))
    assert named.options["pattern"] == "{label}_{take}.wav"
