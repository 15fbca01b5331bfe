"""MNIST's idx files (LeCun et al. 1998), gzipped or plain."""

import gzip
import struct
from pathlib import Path

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions, imported, need_source
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
    except (OSError, EOFError, struct.error) as error:
        raise DataError(f"{path}: not a whole idx file: {error}") from None
    offset = 4 + 4 * dimensions
    if zero or kind != 8 or len(data) != offset + int(np.prod(shape)):
        raise DataError(
            f"{path}: not an idx file of unsigned bytes with shape {shape}: "
            f"got {len(data) - offset} bytes of content"
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def read_mnist(source: str | None, options: ShardOptions) -> Imported:
    """Read train and test from a folder with the four standard files."""
    folder = Path(need_source(source))
    splits = {}
    for split, names in FILES.items():
        images, labels = (read_idx(_find(folder, name)) for name in names)
        splits[split] = (images[..., None], labels.astype(np.int64))
    return imported(splits, tuple(str(k) for k in range(10)), options)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise DataError(f"{folder}: {name}.gz is missing; the folder needs MNIST's four idx files")
