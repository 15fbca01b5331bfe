"""What `raytl shard` refuses, what it says of the rest, and that nothing half-written stays."""

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from tests_support import write_images

from raytl.data.dataset import Dataset
from raytl.data.importers import torchvision_sets
from raytl.data.importers.base import ShardOptions
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.errors import ConfigError, DataError, UserError
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn

IMAGES = np.arange(20 * 16, dtype=np.uint16).reshape(20, 4, 4).astype(np.uint8)
LABELS = np.arange(20) % 2
SPLITS = {"train": ("X", "y")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "--size: must be 1 to 4096 pixels, got 0"),
        ({"size": -1}, "--size: must be 1 to 4096 pixels, got -1"),
        ({"size": 1_000_000}, "--size: must be 1 to 4096 pixels, got 1000000"),
        ({"box": 0}, "--box: must be 1 to 4096 pixels, got 0"),
        ({"box": 1_000_000}, "--box: must be 1 to 4096 pixels"),
        ({"size": 8, "box": 9}, "--box <= --size must hold, got box=9, size=8"),
        ({"image_shape": "0x4"}, "--image-shape: must be HxW or HxWxC, .*, got '0x4'"),
        ({"image_shape": "9" * 5000 + "x1"}, "--image-shape: must be HxW"),
        ({"image_shape": "4x4x4x4"}, "--image-shape: must be HxW"),
        ({"classes": "a,,b"}, "--classes: every class must have a name"),
        ({"classes": "a,b,a"}, "--classes: .*must differ, but 'a' stands there 2 times"),
        ({"rows": 0}, "--rows: must be 10 to 10,000,000 images, got 0"),
        ({"rows": 10**12}, "--rows: must be 10 to 10,000,000 images"),
        ({"seed": -1}, "--seed: .*got -1"),
        ({"fit": "squash"}, "--fit: .*got 'squash'"),
        ({"splits": {"../x": ("X", "y")}}, r"--split: .*letters.*, got '\.\./x'"),
        ({"splits": {"": ("X", "y")}}, "--split: .*letters.*, got ''"),
        ({"splits": {"träin": ("X", "y")}}, "--split: .*letters.*, got 'träin'"),
        ({"splits": {"train\n": ("X", "y")}}, "--split: .*letters"),
        (
            {"splits": {"train": ("X", "y"), "test": ("X", "z")}},
            "--split: each split needs images of its own, but 'X' is named for two",
        ),
    ],
)
def test_options_that_do_not_hold(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        shard_options(**options)
    assert "Value error" not in str(caught.value)


def shard_arrays(
    tmp_path: Path, images: Any = IMAGES, labels: Any = LABELS, **options: Any
) -> ShardReport:
    np.savez(tmp_path / "a.npz", X=images, y=labels)
    checked = ShardOptions(splits=SPLITS, **options)
    return shard("arrays", str(tmp_path / "a.npz"), tmp_path / "d", options=checked)


def with_label(value: Any) -> np.ndarray:
    labels = LABELS.astype(np.result_type(type(value), float))
    labels[3] = value
    return labels


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, with_label(0.5), "'y': labels are class numbers from 0, but row 3 has 0.5"),
        (IMAGES, with_label(np.nan), "row 3 has nan"),
        (IMAGES, with_label(np.inf), "row 3 has inf"),
        (IMAGES, with_label(1e300), r"row 3 has 1e\+300"),
        (IMAGES, with_label(-1), "row 3 has -1"),
        (IMAGES, with_label(1j), "class numbers from 0, got complex128 such as 0j"),
        (IMAGES, LABELS.astype(str), "class numbers from 0, got <U21 such as 0"),
        (IMAGES, LABELS.astype("datetime64[s]"), "class numbers from 0, got datetime64"),
        (IMAGES, LABELS.astype(np.uint64) * np.uint64(2**63), "row 1 has 9223372036854775808"),
        (IMAGES, np.eye(2)[LABELS], r"one class number a row, \(N,\), got \(20, 2\)"),
        (IMAGES, np.array(1), r"one class number a row, \(N,\), got \(\)"),
        (IMAGES, LABELS * 1_000_000, "2 classes from 0 to 1000000 and none is 1; number them anew"),
        (IMAGES, LABELS + 1, "2 classes from 1 to 2 and none is 0; .* with --classes"),
        (IMAGES, LABELS * 0, "needs two classes or more, got one, '0'"),
        (IMAGES * 1j, LABELS, "'X': images are whole numbers or floats, got complex128"),
        (IMAGES.astype(str), LABELS, "'X': images are whole numbers or floats, got <U"),
        (IMAGES.astype(object), LABELS, r"a\.npz: cannot be read: Object arrays"),
        (IMAGES[:0], LABELS[:0], r"none of these zero, got \(0, 4, 4\)"),
        (IMAGES[:, :0], LABELS, r"none of these zero, got \(20, 0, 4\)"),
        (np.array(1.0), LABELS, r"none of these zero, got \(\)"),
        (np.zeros((20, 1, 5000)), LABELS, "at most 4096 pixels a side"),
        (IMAGES * 1e300, LABELS, "images must be finite"),
    ],
)
def test_arrays_with_values_of_no_use(
    tmp_path: Path, images: Any, labels: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        shard_arrays(tmp_path, images, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_arrays_that_are_taken_and_what_is_said(tmp_path: Path) -> None:
    report = shard_arrays(tmp_path, IMAGES.astype(float), LABELS.astype(bool), classes="a,b,c")
    assert report.notes == [
        "split train: images are floats from 0 to 255 and stay so; a source model's mean and std "
        "are meant for 0 to 1",
        "split train: 1 of 3 classes have no row: c",
    ]
    assert Dataset.open(tmp_path / "d").split("train").all("label").dtype == np.int64


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and then", b"\x93NUMPY"])
def test_no_npz_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read: it is no zip archive"):
        shard(
            "arrays", str(tmp_path / "a.npz"), tmp_path / "d", options=shard_options(splits=SPLITS)
        )


def test_npz_and_h5_that_are_broken_inside(tmp_path: Path) -> None:
    shard_arrays(tmp_path)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[100:140] = b"\xff" * 40
    (tmp_path / "a.npz").write_bytes(content)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"], file["X"] = LABELS, h5py.ExternalLink("nowhere.h5", "X")
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for name, message in [
        ("a.npz", "cannot be read: Bad CRC"),
        ("a.h5", "no array 'X'; known: y"),
        ("b.h5", "cannot be read"),
    ]:
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            shard(
                "arrays", str(tmp_path / name), tmp_path / "e", options=shard_options(splits=SPLITS)
            )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for label, name in enumerate(("ants", "bees")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for index in range(3):
            picture = Image.new("RGB", (12, 8), (100 * label, index, 0))
            picture.save(tmp_path / "in" / name / f"{index}.png")
    return tmp_path / "in"


NO_TEST = "all rows are in the split train; --test 0.2 puts a fifth of them into a split test"


def shard_pictures(folder: Path, **options: Any) -> ShardReport:
    checked = ShardOptions(**({"size": 8} | options))
    return shard("image-folder", str(folder), folder.parent / "d", options=checked)


def classes_of(report: ShardReport) -> tuple[str, ...]:
    column = report.info.columns["label"]
    assert isinstance(column, LabelColumn)
    return column.classes


def test_without_a_size_it_is_said_to_what_and_how(pictures: Path) -> None:
    assert shard_pictures(pictures).notes == [NO_TEST]
    (pictures.parent / "d").rename(pictures.parent / "first")
    assert shard_pictures(pictures, size=None).notes == [
        "images of every size are stretched to 224 x 224 pixels; --size and --fit stretch, pad or "
        "crop say otherwise",
        NO_TEST,
    ]


def test_an_empty_class_folder_is_said(pictures: Path) -> None:
    (pictures / "wasps").mkdir()
    report = shard_pictures(pictures)
    assert report.notes == [NO_TEST, "split train: 1 of 3 classes have no row: wasps"]
    assert len(classes_of(report)) == 3


def test_a_class_of_bad_files_alone(pictures: Path) -> None:
    (pictures / "bad").mkdir()
    (pictures / "bad" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"bad/0\.png: does not decode .*--skip-bad"):
        shard_pictures(pictures)
    report = shard_pictures(pictures, skip_bad=True)
    assert report.notes == [NO_TEST, "split train: 1 of 3 classes have no row: bad"]


def test_links_that_lead_nowhere_or_round(pictures: Path) -> None:
    for link, to in {
        "ants/gone.png": "nowhere",
        "ants/up": "..",
        "ants/self.png": "self.png",
        "wasps": "nowhere",
        "loop": ".",
        "root": "/",
    }.items():
        (pictures / link).symlink_to(to)
    os.mkfifo(pictures / "ants" / "pipe.png")
    report = shard_pictures(pictures)
    assert report.info.splits["train"].rows == 6
    told = {Path(line.split(":")[0]).name: line.split(": ")[1] for line in report.skipped}
    nowhere = "a link that leads nowhere, or no regular file"
    assert told == {
        "gone.png": nowhere,
        "self.png": nowhere,
        "pipe.png": nowhere,
        "wasps": "a link that leads nowhere",
        "loop": "a link to a folder above it",
        "root": "a link to a folder above it",
        "up": "a link to a folder above it",
    }


def test_folders_that_link_to_each_other_are_read_once(pictures: Path) -> None:
    for here, there in [("one", "two"), ("two", "one")]:
        folder = pictures.parent / here
        folder.mkdir()
        Image.new("RGB", (2, 2)).save(folder / "0.png")
        (folder / "on").symlink_to(pictures.parent / there)
    (pictures / "ants").rename(pictures.parent / "ants")
    (pictures / "bees").rename(pictures.parent / "bees")
    for split in ("train", "val"):
        (pictures / split).mkdir()
        (pictures / split / "ants").symlink_to(pictures.parent / "ants")
        (pictures / split / "one").symlink_to(pictures.parent / "one")
    report = shard_pictures(pictures)
    assert {name: split.rows for name, split in report.info.splits.items()} == {
        "train": 5,
        "val": 5,
    }
    assert report.skipped[0].endswith("one/on/on: a link to a folder that was read already")


def test_a_linked_class_folder_is_read(pictures: Path) -> None:
    (pictures / "bees").rename(pictures.parent / "elsewhere")
    (pictures / "bees").symlink_to(pictures.parent / "elsewhere")
    assert shard_pictures(pictures).info.splits["train"].rows == 6


def test_what_stands_beside_class_folders_is_said(pictures: Path) -> None:
    Image.new("RGB", (2, 2)).save(pictures / "stray.png")
    write_images(
        pictures / "dataset", ImageColumn(shape=(4, 4, 1), dtype="uint8"), ("a", "b"),
        {"train": [(IMAGES[..., None], LABELS)]},
    )  # fmt: skip
    report = shard_pictures(pictures)
    assert classes_of(report) == ("ants", "bees")
    assert [line.split(": ")[1] for line in report.skipped] == [
        "a dataset of raytl",
        "in no class folder",
    ]


HIDDEN = (
    "__MACOSX/ants/0.png", "ants/._0.png", "ants/.thumbs/1.png", "bees/__MACOSX/2.png", ".x/3.png"
)  # fmt: skip


def leave_hidden(pictures: Path) -> None:
    for name in HIDDEN:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / "ants" / "0.png", pictures / name)


def test_what_is_hidden_is_neither_a_row_nor_a_class(pictures: Path) -> None:
    leave_hidden(pictures)
    report = shard_pictures(pictures)
    assert classes_of(report) == ("ants", "bees")
    assert report.info.splits["train"].rows == 6
    assert [line.removeprefix(f"{pictures}/") for line in report.skipped] == [
        "ants/._0.png: hidden", "ants/.thumbs: hidden", "bees/__MACOSX: hidden",
    ]  # fmt: skip


def test_what_is_hidden_is_no_unlabelled_row_and_no_split(pictures: Path) -> None:
    leave_hidden(pictures)
    report = shard_pictures(pictures, unlabelled=True, classes="ants,bees")
    assert report.info.splits["train"].rows == 6 and len(report.skipped) == len(HIDDEN)
    pictures.rename(pictures.parent / "train")
    shutil.copytree(pictures.parent / "train" / "__MACOSX", pictures.parent / "above" / "__MACOSX")
    shutil.move(pictures.parent / "train", pictures.parent / "above")
    options = ShardOptions(size=8, unlabelled=True, classes="x,y")
    above, out = pictures.parent / "above", pictures.parent / "split"
    assert set(shard("image-folder", str(above), out, options=options).info.splits) == {"train"}


def png(path: Path, width: int, height: int) -> None:
    """Write a small file that claims to be a large image."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = part(b"IDAT", zlib.compress(bytes(100))) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)


def test_images_of_no_use(pictures: Path) -> None:
    file = pictures / "ants" / "z.png"
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    deep = Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000)

    def refused(message: str, **options: Any) -> None:
        with pytest.raises(DataError, match=rf"z\.png: {message}.*; mend or remove it"):
            shard_pictures(pictures, **options)
        report = shard_pictures(pictures, skip_bad=True, **options)
        assert report.info.splits["train"].rows == 6
        shutil.rmtree(pictures.parent / "d")

    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:1500])
    refused("does not decode .*truncated")
    file.write_bytes(b"<svg/>")
    refused("does not decode .*cannot identify")
    png(file, 50_000, 50_000)
    refused("does not decode .*exceeds limit")
    png(file, 10_000, 10_000)
    refused("10000 x 10000 pixels are more than 89,478,485")
    deep.save(file)
    refused("mode I;16 has more than 8 bits a channel")
    Image.new("RGB", (1, 60_000)).save(file)
    narrow = "an image of 1 x 60000 pixels is too narrow to be cropped.*--fit stretch or pad"
    refused(narrow, size=64, fit="crop")


def test_names_that_are_no_utf8(pictures: Path) -> None:
    os.rename(pictures / "ants" / "0.png", os.fsencode(pictures) + b"/ants/\xff.png")
    Path(os.fsdecode(os.fsencode(pictures) + b"/ants/\xfe.txt")).touch()
    report = shard_pictures(pictures)
    assert report.info.splits["train"].rows == 6
    assert report.skipped[0].endswith("ants/\\xfe.txt: .txt is no image type")
    os.rename(pictures / "bees", os.fsencode(pictures) + b"/\xff")
    (pictures.parent / "d").rename(pictures.parent / "first")
    with pytest.raises(DataError, match=r"class folder '\\xff': its name is no UTF-8; rename it"):
        shard_pictures(pictures)
    with pytest.raises(UserError, match=r"o\\xff: OUT's name is no UTF-8"):
        shard("digits", None, Path(os.fsdecode(b"o\xff")), options=ShardOptions())


def test_layouts_that_make_no_classes(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"ants: .*two class folders or more, got \[\]"):
        shard_pictures(pictures / "ants")
    (pictures / "ants" / "deep").mkdir()
    with pytest.raises(DataError, match=r"ants: .* got \['deep'\]; .*are taken for splits"):
        shard_pictures(pictures)
    pictures.rename(pictures.parent / "tr ain")
    (pictures.parent / "tr ain" / "ants" / "deep").rmdir()
    (pictures.parent / "all").mkdir()
    (pictures.parent / "tr ain").rename(pictures.parent / "all" / "tr ain")
    with pytest.raises(DataError, match="letters .*, got 'tr ain'; rename it"):
        shard_pictures(pictures.parent / "all")


def test_force_replaces_datasets_alone_and_never_the_source(pictures: Path) -> None:
    for out in (pictures, pictures.parent):
        with pytest.raises(UserError, match="--force would delete the source"):
            shard("image-folder", str(pictures), out, options=ShardOptions(size=8), force=True)
    other = pictures.parent / "photos"
    other.mkdir()
    (other / "me.jpg").touch()
    with pytest.raises(UserError, match="--force replaces datasets alone"):
        shard("image-folder", str(pictures), other, options=ShardOptions(size=8), force=True)
    assert (other / "me.jpg").exists()
    shard_pictures(pictures)
    link = pictures.parent / "link"
    link.symlink_to(pictures.parent / "d")
    shard("image-folder", str(pictures), link, options=ShardOptions(size=8), force=True)
    assert not link.is_symlink() and (pictures.parent / "d").exists()


def test_outs_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for out, message in {
        "file/d": "file is no folder",
        "o" * 300: "File name too long",
        "link": "exists already",
        "": "exists already",
    }.items():
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=message):
            shard("digits", None, Path(out), options=ShardOptions())
    shard("digits", None, tmp_path / "d", options=ShardOptions())
    monkeypatch.chdir(tmp_path / "d")
    shard("digits", None, Path("."), options=ShardOptions(seed=1), force=True)
    assert Dataset.open(tmp_path / "d").info.origin["seed"] == 1


def test_digits_take_no_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shard digits: needs OUT alone, got two paths"):
        shard("digits", "src", tmp_path / "d", options=ShardOptions())


def test_a_font_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    with pytest.raises(DataError, match=r"a\.ttf: not a font that can be read"):
        shard("rendered-digits", str(tmp_path), tmp_path / "d", options=ShardOptions(rows=10))


def test_the_listed_datasets_of_torchvision_need_a_folder_alone() -> None:
    import inspect

    from torchvision import datasets

    for name in torchvision_sets.NAMES:
        parameters = inspect.signature(vars(datasets)[name]).parameters.values()
        plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert [p.name for p in plain if p.default is p.empty] == ["root"], name
