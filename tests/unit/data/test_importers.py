"""Importers: what is read from raw files, and what broken files are told."""

import gzip
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from raytl.data.dataset import Dataset
from raytl.data.importers.base import ShardOptions
from raytl.data.shard import shard
from raytl.errors import ConfigError, DataError, RaytlError
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn


def idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def in_source_order(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels in the order of the raw files, which is that of the ids."""
    part = Dataset.open(folder).split(split)
    order = np.argsort(part.ids())
    return part.read("image", order), part.read("label", order)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for split, count in [("train", 6), ("t10k", 3)]:
        images = np.arange(count)[:, None, None] * np.ones((count, 28, 28))
        idx(folder / f"{split}-images-idx3-ubyte.gz", images)
        idx(folder / f"{split}-labels-idx1-ubyte.gz", np.arange(count))
    return folder


def test_mnist(mnist: Path, tmp_path: Path) -> None:
    shard("mnist", str(mnist), tmp_path / "d", options=ShardOptions())
    images, labels = in_source_order(tmp_path / "d", "train")
    assert images.shape == (6, 28, 28, 1)
    assert images[:, 0, 0, 0].tolist() == labels.tolist() == list(range(6))


def test_mnist_truncated_or_missing(mnist: Path, tmp_path: Path) -> None:
    file = mnist / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="t10k-images.*not a whole idx file"):
        shard("mnist", str(mnist), tmp_path / "d", options=ShardOptions())
    file.unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is missing"):
        shard("mnist", str(mnist), tmp_path / "d", options=ShardOptions())


SPLITS = {"train": ("X", "y")}


def arrays(tmp_path: Path, **content: Any) -> str:
    np.savez(tmp_path / "a.npz", **content)
    return str(tmp_path / "a.npz")


def test_npz_and_h5_hold_the_same(tmp_path: Path) -> None:
    flat = np.random.default_rng(0).random((5, 12)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1])
    source = arrays(tmp_path, X=flat, y=labels)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/X"], file["g/y"] = flat, labels
    options = ShardOptions(splits=SPLITS, image_shape="3x4", classes="cat,dog")
    npz = shard("arrays", source, tmp_path / "npz", options=options).info
    inside = ShardOptions(splits={"train": ("g/X", "g/y")}, image_shape="3x4", classes="cat,dog")
    h5 = shard("arrays", str(tmp_path / "a.h5"), tmp_path / "h5", options=inside).info
    assert npz.fingerprint == h5.fingerprint
    dataset = Dataset.open(tmp_path / "npz")
    assert dataset.columns["label"] == LabelColumn(classes=("cat", "dog"))
    images, _ = in_source_order(tmp_path / "npz", "train")
    assert np.array_equal(images[..., 0], flat.reshape(5, 3, 4))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"X": np.zeros((2, 4, 4)), "z": np.zeros(2)}, {}, "no array 'y'"),
        ({"X": np.zeros((3, 4, 4)), "y": np.zeros(2)}, {}, "as many rows, got 3 and 2"),
        ({"X": np.zeros((2, 16)), "y": np.zeros(2)}, {}, "give --image-shape HxW"),
        (
            {"X": np.zeros((2, 16)), "y": np.zeros(2)},
            {"image_shape": "3x3"},
            "rows of 16 numbers do not make images of 3x3",
        ),
        (
            {"X": np.zeros((2, 4, 4)), "y": np.array([0, 7])},
            {"classes": "a,b"},
            "labels must lie in 0..1 for 2 classes, but row 1 has 7",
        ),
        ({"X": np.full((2, 4, 4), np.nan), "y": np.arange(2)}, {}, "images must be finite"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, content: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    source = arrays(tmp_path, **content)
    with pytest.raises(DataError, match=message):
        shard("arrays", source, tmp_path / "d", options=ShardOptions(splits=SPLITS, **options))
    assert not (tmp_path / "d").exists()


def test_arrays_need_split_and_a_file_they_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the keys"):
        shard("arrays", "a.npz", tmp_path / "d", options=ShardOptions())
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    for name in ("a.npz", "none.h5", "a.csv"):
        with pytest.raises(DataError, match=name):
            shard(
                "arrays", str(tmp_path / name), tmp_path / "d", options=ShardOptions(splits=SPLITS)
            )


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for number, name in enumerate(("ants", "bees")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(2):
                picture = Image.new("RGB", (12, 8), (100 * number, 10 * index, 0))
                picture.save(folder / f"{index}.png")
    (tmp_path / "images" / "train" / "ants" / "broken.gif").write_bytes(b"GIF89a")
    return tmp_path / "images"


def test_image_folder_keeps_splits_and_lists_what_it_skips(folders: Path, tmp_path: Path) -> None:
    report = shard("image-folder", str(folders), tmp_path / "d", options=ShardOptions(size=8))
    assert {name: split.rows for name, split in report.info.splits.items()} == {
        "train": 4,
        "val": 4,
    }
    assert [Path(line.split(":")[0]).name for line in report.skipped] == ["broken.gif"]
    images, labels = in_source_order(tmp_path / "d", "val")
    assert images.shape == (4, 8, 8, 3)
    assert images[:, 0, 0].tolist() == [[0, 0, 0], [0, 10, 0], [100, 0, 0], [100, 10, 0]]
    assert labels.tolist() == [0, 0, 1, 1]


def test_image_folder_without_splits_and_with_bad_ones(folders: Path, tmp_path: Path) -> None:
    options = ShardOptions(size=8)
    info = shard("image-folder", str(folders / "train"), tmp_path / "flat", options=options).info
    assert list(info.splits) == ["train"]
    (folders / "val" / "ants").rename(folders / "val" / "wasps")
    with pytest.raises(DataError, match="every split must have the same class folders"):
        shard("image-folder", str(folders), tmp_path / "d", options=options)
    with pytest.raises(DataError, match="no such folder"):
        shard("image-folder", str(tmp_path / "none"), tmp_path / "d", options=options)


@pytest.mark.parametrize(
    ("places", "labels", "odd"),
    [
        (["1.png", "more/2.png", "note.txt"], {"train": [-1, -1]}, "more"),
        (["bees/1.png", "ants/2.png", "3.png"], {"train": [-1, 0, 1]}, None),
        (["train/1.png", "train/2.png", "test/ants/3.png"], {"train": [-1, -1], "test": [0]}, None),
        (["train/1.png", "bees/2.png"], {"train": [-1, 1]}, "train"),
    ],
)
def test_images_may_have_no_class(
    places: list[str], labels: dict[str, list[int]], odd: str | None, tmp_path: Path
) -> None:
    for place in places:
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / place, "png")
    options = ShardOptions(unlabelled=True, classes="ants,bees", skip_bad=True)
    report = shard("image-folder", str(tmp_path / "in"), tmp_path / "d", options=options)
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.columns["label"] == LabelColumn(classes=("ants", "bees"), nulls=True)
    assert {name: sorted(dataset.split(name).all("label")) for name in report.info.splits} == labels
    none = sum(of.count(-1) for of in labels.values())
    among = f", among them those in {odd}" if odd else ""
    assert f"{none} of {sum(map(len, labels.values()))} images have no label{among}" in report.notes
    assert [line.rpartition("/")[2] for line in report.skipped] == [
        "note.txt: .txt is no image type" for place in places if place == "note.txt"
    ]


def test_a_dataset_beside_images_without_a_class_is_no_split(folders: Path, tmp_path: Path) -> None:
    (folders / "val").rename(tmp_path / "shots")
    source, options = tmp_path / "shots", ShardOptions(size=8)
    shard("image-folder", str(folders), source / "test", options=options)
    options = ShardOptions(size=8, unlabelled=True, classes="a,b")
    report = shard("image-folder", str(source), tmp_path / "d", options=options)
    assert {name: split.rows for name, split in report.info.splits.items()} == {"train": 4}
    assert [line.partition(": ")[2] for line in report.skipped] == ["a dataset of raytl"]


def test_a_class_may_be_called_as_a_split_is(tmp_path: Path) -> None:
    for place in ("bus/1.png", "train/2.png", "3.png"):
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / place)
    options = ShardOptions(unlabelled=True, classes="bus,train")
    shard("image-folder", str(tmp_path / "in"), tmp_path / "d", options=options)
    assert sorted(Dataset.open(tmp_path / "d").split("train").all("label")) == [-1, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unlabelled": True}, "--unlabelled: nothing says which classes.*--classes no,yes"),
        ({"unlabelled": True, "classes": "ants"}, "nothing says which classes"),
        ({"classes": "ants,bees"}, "--classes: folders say the classes"),
        ({"unlabelled": True, "classes": "a,b", "source": "none"}, "none: no such folder"),
        ({"unlabelled": True, "classes": "a,b", "source": "empty"}, "no image is in this folder"),
    ],
)
def test_images_without_a_class_that_are_refused(
    options: dict[str, Any], message: str, folders: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    source = tmp_path / options.pop("source", folders.name)
    with pytest.raises(RaytlError, match=message):
        shard("image-folder", str(source), tmp_path / "d", options=ShardOptions(**options))
    assert not (tmp_path / "d").exists()


def test_skip_bad_leaves_out_what_does_not_decode(folders: Path, tmp_path: Path) -> None:
    (folders / "train" / "ants" / "bad.jpg").write_bytes(b"not a jpeg")
    options = ShardOptions(size=8, skip_bad=True)
    report = shard("image-folder", str(folders), tmp_path / "d", options=options)
    assert report.info.splits["train"].rows == 4
    assert any("bad.jpg: does not decode" in line for line in report.skipped)


def test_digits_and_rendered_digits_are_seeded(tmp_path: Path) -> None:
    digits = shard("digits", None, tmp_path / "digits", options=ShardOptions(size=28)).info
    assert {name: split.rows for name, split in digits.splits.items()} == {
        "train": 1000,
        "test": 797,
    }
    prints = [
        shard(
            "rendered-digits", None, tmp_path / f"r{i}", options=ShardOptions(rows=50, seed=seed)
        ).info.fingerprint
        for i, seed in enumerate([0, 0, 1])
    ]
    assert prints[0] == prints[1] != prints[2]


def test_torchvision_reads_what_it_has_and_names_the_nearest(tmp_path: Path) -> None:
    raw = tmp_path / "root" / "MNIST" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in [("train", 6), ("t10k", 3)]:
        idx(raw / f"{split}-images-idx3-ubyte.gz", np.ones((count, 28, 28)))
        idx(raw / f"{split}-labels-idx1-ubyte.gz", np.arange(count))
        for file in raw.glob("*.gz"):
            file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    options = ShardOptions(size=16, root=str(tmp_path / "root"))
    info = shard("torchvision", "MNIST", tmp_path / "d", options=options).info
    assert {name: split.rows for name, split in info.splits.items()} == {"train": 6, "test": 3}
    dataset = Dataset.open(tmp_path / "d")
    image, label = dataset.columns["image"], dataset.columns["label"]
    assert isinstance(image, ImageColumn) and image.shape == (16, 16, 1)
    assert isinstance(label, LabelColumn) and label.classes[7] == "7 - seven"
    with pytest.raises(DataError, match="no dataset 'MNST'; did you mean 'MNIST'"):
        shard("torchvision", "MNST", tmp_path / "e", options=ShardOptions())


def test_torchvision_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def refused(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    options = ShardOptions(root=str(tmp_path / "root"))
    with pytest.raises(RaytlError, match="cannot load or download") as caught:
        shard("torchvision", "USPS", tmp_path / "d", options=options)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "d").exists()
