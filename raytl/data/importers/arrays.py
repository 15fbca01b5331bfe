"""Arrays under keys: .npz and .h5 files."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import BadZipFile

import h5py
import numpy as np

from raytl.config import nearest
from raytl.data.importers.base import Imported, ShardOptions, imported, need_source
from raytl.errors import ConfigError, DataError

Read = Callable[[str], np.ndarray]


def read_arrays(source: str | None, options: ShardOptions) -> Imported:
    """Read splits by key. Images are (N, H, W), (N, H, W, C), or (N, H·W·C) with `--image-shape`;
    uint8 is kept, other whole numbers in 0..255 become uint8, the rest float32 as it is.

    Raises DataError where a key is missing or shapes do not fit.
    """
    path = Path(need_source(source))
    if not options.splits:
        raise ConfigError("shard arrays: name the keys, e.g. --split train=X,y --split test=Xt,yt")
    with _opened(path) as read:
        splits = {
            name: _split(read, images, labels, options)
            for name, (images, labels) in options.splits.items()
        }
        classes = _classes(read, options, splits)
    return imported(splits, classes, options)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Read]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                yield lambda key: _at(path, key, list(file.files), lambda: file[key])
        elif path.suffix in (".h5", ".hdf5"):
            with h5py.File(path, "r") as file:
                keys: list[str] = []
                file.visititems(
                    lambda name, item: keys.append(name) if isinstance(item, h5py.Dataset) else None
                )
                yield lambda key: _at(path, key, keys, lambda: file[key][()])
        else:
            raise DataError(f"{path}: arrays are read from .npz and .h5 files")
    except (OSError, BadZipFile, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _at(path: Path, key: str, keys: list[str], read: Callable[[], np.ndarray]) -> np.ndarray:
    if key not in keys:
        raise DataError(f"{path}: no array '{key}'; {nearest(key, keys)}")
    return np.asarray(read())


def _split(
    read: Read, images_key: str, labels_key: str, options: ShardOptions
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read(images_key), read(labels_key).reshape(-1)
    if len(images) != len(labels):
        raise DataError(
            f"'{images_key}' and '{labels_key}' must have as many rows, "
            f"got {len(images)} and {len(labels)}"
        )
    return _numbers(_shaped(images, images_key, options)), labels.astype(np.int64)


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


def _numbers(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    whole = np.issubdtype(images.dtype, np.integer)
    if whole and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    return images.astype(np.float32)


def _classes(
    read: Read, options: ShardOptions, splits: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[str, ...]:
    if options.classes is None:
        highest = max(int(labels.max()) for _, labels in splits.values())
        return tuple(str(k) for k in range(highest + 1))
    if "," in options.classes:
        return tuple(name.strip() for name in options.classes.split(","))
    names = read(options.classes)
    return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist())
