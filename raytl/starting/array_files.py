"""Arrays of images: which keys hold images and which their labels."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.split_names import TEST, TRAIN, VALIDATION
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.starting.raw import Raw

LABELS = ("y", "label", "labels", "target", "targets", "class")
CLASS_NAMES = ("classes", "class_names", "label_names")
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
Shapes = dict[str, tuple[int, ...]]


def array_file(path: Path) -> Raw:
    """Return a .npz or .h5 file of images as `raytl shard arrays` reads it: a split's images and
    labels are of one split's name and of one length. Raises ConfigError, with the keys, where they
    cannot be told."""
    shapes = _shapes(path)
    splits: dict[str, str] = {}
    for split, words in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        pair = _pair(shapes, words)
        if pair is not None:
            splits[split] = ",".join(pair)
    if not splits and (pair := _pair(shapes, ())) is not None:
        splits["train"] = ",".join(pair)
    if "train" not in splits:
        told = ", ".join(f"{key} {shape}" for key, shape in list(shapes.items())[:8])
        raise ConfigError(
            f"{printable(path)}: which arrays are images and labels cannot be told ({told}); say "
            "it: raytl shard arrays FILE OUT --split train=IMAGES,LABELS --split test=…"
        )
    options: dict[str, Any] = {"splits": splits}
    names = next((key for key in CLASS_NAMES if key in shapes and len(shapes[key]) == 1), None)
    if names is not None:
        options["classes"] = names
    shape = shapes[splits["train"].split(",")[0]]
    if len(shape) == 2:
        side = math.isqrt(shape[1])
        if side * side != shape[1]:
            raise ConfigError(
                f"{printable(path)}: rows of {shape[1]} numbers are no square images; for a table "
                "write a CSV or Parquet file, for images raytl shard arrays with --image-shape HxW"
            )
        options["image_shape"] = f"{side}x{side}"
    what = f"arrays of images, {shape[0]:,} to learn from"
    return Raw("arrays", str(path), options, what).with_test_of(splits)


def _pair(shapes: Shapes, words: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the keys of a split's images and labels; `words`: what its name is among, none where
    there are no splits."""
    of_split = {
        key: shape
        for key, shape in shapes.items()
        if not words or any(word in _words(key) for word in words)
    }
    images = [
        key for key, shape in of_split.items() if len(shape) in (2, 3, 4) and shape[1:] != (1,)
    ]
    for image in images:
        fit = [
            key
            for key, shape in of_split.items()
            if shape in ((shapes[image][0],), (shapes[image][0], 1))
            and any(word in _words(key) for word in LABELS)
        ]
        if len(fit) == 1 and len(images) == 1:
            return image, fit[0]
    return None


def _words(key: str) -> list[str]:
    return key.lower().replace("/", "_").replace("-", "_").split("_")


def _npz_shapes(path: Path) -> Shapes:
    """Return what the arrays' headers say: their values are not read."""
    found: Shapes = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                read = HEADERS[version]
                found[name.removesuffix(".npy")] = read(file)[0]
    return found


def _shapes(path: Path) -> Shapes:
    try:
        if path.suffix == ".npz":
            return _npz_shapes(path)
        import h5py

        found: Shapes = {}
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, item: found.update(
                    {name: item.shape} if isinstance(item, h5py.Dataset) else {}
                )
            )
        return found
    except Exception as error:  # whatever broken bytes provoke
        told = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise DataError(f"{printable(path)}: cannot be read as arrays: {told}") from None
