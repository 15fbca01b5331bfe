"""MNIST's idx files (LeCun et al. 1998), gzipped or plain."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from raytl.data.importers.arranging import imported
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.errors import DataError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> np.ndarray:
    """Return the array of an idx file of unsigned bytes; raises DataError where it is not whole."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, kind, dimensions = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: not a whole idx file: {error}") from None
    offset = 4 + 4 * dimensions
    if zero or kind != 8 or len(data) != offset + math.prod(shape):
        raise DataError(
            f"{path}: not an idx file of unsigned bytes with shape {shape}: "
            f"got {len(data) - offset} bytes of content"
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def read_mnist(source: str | None, options: ShardOptions) -> Imported:
    """Read train and test from a folder with the four standard files."""
    folder = Path(need_source(source))
    splits = {split: _split(*(_find(folder, name) for name in FILES[split])) for split in FILES}
    return imported(splits, tuple(str(k) for k in range(10)), options)


def _split(images_file: Path, labels_file: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_file), read_idx(labels_file)
    if images.ndim != 3 or labels.ndim != 1 or not images.size or len(images) != len(labels):
        raise DataError(
            f"{images_file}: images (N, H, W) and labels (N,) must have as many rows, not "
            f"none, got {images.shape} and {labels.shape}"
        )
    return images[..., None], labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise DataError(f"{folder}: {name}.gz is missing; the folder needs MNIST's four idx files")
