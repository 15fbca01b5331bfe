"""Arrays under keys: .npz and .h5 files.

Legend: N rows, H height, W width, C channels.
"""

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np

from raytl.config import nearest
from raytl.data.importers.arranging import imported
from raytl.data.importers.base import Imported, ShardOptions, distinct_names, need_source
from raytl.errors import ConfigError, DataError

Read = Callable[[str], np.ndarray]
# What numpy and h5py raise for bytes that are not what they should be.
BROKEN = (
    OSError, BadZipFile, ValueError, EOFError, KeyError, TypeError, RuntimeError, MemoryError,
    zlib.error,
)  # fmt: skip


def read_arrays(source: str | None, options: ShardOptions) -> Imported:
    """Read splits by key. Images are (N, H, W), (N, H, W, C), or (N, H·W·C) with `--image-shape`;
    uint8 is kept, other whole numbers in 0..255 become uint8, the rest float32 as it is. Labels are
    class numbers from 0, all of them present unless `--classes` names the classes.

    Raises DataError where a key is missing, or where shapes or values do not fit.
    """
    path = Path(need_source(source))
    if not options.splits:
        raise ConfigError("shard arrays: name the keys, e.g. --split train=X,y --split test=Xt,yt")
    keys = {name: _keys(name, given) for name, given in options.splits.items()}
    with opened_arrays(path) as read:
        splits = {
            name: _split(read, images, labels, options) for name, (images, labels) in keys.items()
        }
        classes = _classes(read, options, splits)
    return _noted(imported(splits, classes, options), splits)


def _keys(split: str, given: str) -> tuple[str, str]:
    images, comma, labels = given.partition(",")
    if not comma:
        raise ConfigError(f"--split {split}={given}: expected NAME=IMAGES,LABELS, e.g. train=X,y")
    return images, labels


@contextlib.contextmanager
def opened_arrays(path: Path) -> Iterator[Read]:
    """Yield what reads arrays of a .npz or .h5 file by key; DataError where it cannot be read."""
    with _readable(path):
        file, keys = _open(path)
    with file:
        yield lambda key: _at(path, key, keys, lambda: file[key][()])


def array_keys(path: Path) -> list[str]:
    """Return the keys of a .npz or .h5 file; DataError where it cannot be read."""
    with _readable(path):
        file, keys = _open(path)
        file.close()
    return keys


def _open(path: Path) -> tuple[Any, list[str]]:
    """Return a file to index by key, and its keys."""
    if path.suffix == ".npz":
        with path.open("rb") as content:
            if not is_zipfile(content):
                raise ValueError("it is no zip archive of arrays, as numpy.savez writes them")
        archive = np.load(path, allow_pickle=False)
        return archive, list(archive.files)
    if path.suffix in (".h5", ".hdf5"):
        import h5py

        keys: list[str] = []
        file = h5py.File(path, "r")
        file.visititems(
            lambda name, item: keys.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return file, keys
    raise DataError(f"{path}: arrays are read from .npz and .h5 files")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = told.splitlines()[0] if told else type(error).__name__
        raise DataError(
            f"{path}: cannot be read: {reason}; give a whole .npz or .h5 file of numbers"
        ) from None


def _at(path: Path, key: str, keys: list[str], read: Callable[[], Any]) -> np.ndarray:
    if key not in keys:
        raise DataError(f"{path}: no array '{key}'; {nearest(key, keys)}")
    with _readable(path):
        return np.asarray(read())


def _split(
    read: Read, images_key: str, labels_key: str, options: ShardOptions
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read(images_key), _labels(read(labels_key), labels_key)
    if images.dtype.kind not in "biuf":
        raise DataError(f"'{images_key}': images are whole numbers or floats, got {images.dtype}")
    if images.ndim < 2 or not images.size:
        raise DataError(
            f"'{images_key}': images are (N, H, W) or (N, H, W, C), none of these zero, "
            f"got {images.shape}"
        )
    if len(images) != len(labels):
        raise DataError(
            f"'{images_key}' and '{labels_key}' must have as many rows, "
            f"got {len(images)} and {len(labels)}"
        )
    return as_numbers(_shaped(images, images_key, options)), labels


def _labels(labels: np.ndarray, key: str) -> np.ndarray:
    """Return class numbers, int64 (N,)."""
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)):
        raise DataError(f"'{key}': labels are one class number a row, (N,), got {labels.shape}")
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "biuf":
        raise DataError(
            f"'{key}': labels are class numbers from 0, got {labels.dtype}"
            + (f" such as {labels[0]}" if len(labels) else "")
            + "; number the classes, and name them with --classes"
        )
    with np.errstate(invalid="ignore"):
        numbers = labels.astype(np.int64)
    bad = np.flatnonzero((numbers != labels) | (numbers < 0))
    if len(bad):
        raise DataError(
            f"'{key}': labels are class numbers from 0, but row {bad[0]} has {labels[bad[0]]}"
        )
    return numbers


def _shaped(images: np.ndarray, key: str, options: ShardOptions) -> np.ndarray:
    if options.image_shape is not None:
        shape = tuple(int(side) for side in options.image_shape.split("x"))
        if images[0].size != math.prod(shape):
            raise DataError(
                f"'{key}': rows of {images[0].size} numbers do not make images of "
                f"{options.image_shape}"
            )
        images = images.reshape(len(images), *shape)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise DataError(
            f"'{key}': images are (N, H, W) or (N, H, W, C), got {images.shape}; "
            "for flattened images give --image-shape HxW"
        )
    return images


def as_numbers(images: np.ndarray) -> np.ndarray:
    """Return images as uint8, where they hold whole numbers from 0 to 255, else as float32."""
    if images.dtype == np.uint8:
        return images
    whole = np.issubdtype(images.dtype, np.integer)
    if whole and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    with np.errstate(over="ignore"):  # what becomes infinite is refused where it is written
        return images.astype(np.float32)


def _noted(found: Imported, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> Imported:
    for name, (images, _) in splits.items():
        low, high = images.min(), images.max()
        if images.dtype == np.float32 and (low < 0 or high > 1):
            found.notes.append(
                f"split {name}: images are floats from {low:g} to {high:g} and stay so; a source "
                "model's mean and std are meant for 0 to 1"
            )
    return found


def _classes(
    read: Read, options: ShardOptions, splits: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[str, ...]:
    if options.classes is None:
        return _counted(np.unique(np.concatenate([labels for _, labels in splits.values()])))
    if options.class_names is not None:
        return options.class_names
    names = read(options.classes)
    if names.ndim != 1 or not names.size:
        raise DataError(f"--classes {options.classes}: names are an array (K,), got {names.shape}")
    try:
        return distinct_names(
            [n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist()]
        )
    except ValueError as error:
        raise DataError(f"--classes {options.classes}: {error}") from None


def _counted(values: np.ndarray) -> tuple[str, ...]:
    if values[-1] >= len(values):
        missing = np.setdiff1d(np.arange(len(values)), values)[0]
        raise DataError(
            f"labels must be 0 to K - 1, every class with a row, but there are {len(values)} "
            f"classes from {values[0]} to {values[-1]} and none is {missing}; number them anew, or "
            "name every class with --classes"
        )
    return tuple(str(k) for k in values.tolist())
