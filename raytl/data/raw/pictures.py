"""Images to predict: files, or what a program has in memory.

Legend: H height, W width, C channels.
"""

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.data.fitting import fit_images
from raytl.data.importers.decoding import THREADS, check_image
from raytl.data.importers.encoded import content_of, name_of
from raytl.data.importers.image_folder import EXTENSIONS
from raytl.data.importers.inputs import Bad, Input
from raytl.data.raw.rows import RawReading, raw_input
from raytl.errors import DataError, ModelError
from raytl.folders import printable
from raytl.modalities.image.column import ImageColumn

__all__ = ["EXTENSIONS", "image_rows"]

# Kinds of datasets whose images came out of files, decoded to RGB and fitted to one size
DECODED = ("image-folder", "table", "huggingface", "webdataset", "objects")
MODES = {1: ("L", ("1", "L")), 3: ("RGB", None)}  # channels → Pillow's mode; which become it


def image_rows(column: ImageColumn, items: Sequence[Any], reading: RawReading) -> Input:
    """Return images for a column: paths, (name, bytes), or (name, Pillow's image or an array).
    Raises ModelError where no file is read as such a column's images are."""
    if column.dtype != "uint8" or column.shape[2] not in MODES:
        raise ModelError(
            f"the model reads images of {column.shape[2]} channels, {column.dtype}, which no image "
            "file holds; predict a dataset that `raytl shard arrays` made"
        )
    return raw_input(column, items, np.stack, partial(_images, column=column, reading=reading))


def _images(items: list[Any], column: ImageColumn, reading: RawReading) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool, warnings.catch_warnings():
        # of huge images, which `check_image` refuses
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return list(pool.map(partial(_image, column=column, reading=reading), items))


def _image(item: Any, column: ImageColumn, reading: RawReading) -> np.ndarray | Bad:
    name, given = _opened(item)
    try:
        # An image that a program has stays open: it is the program's
        own = nullcontext(given) if isinstance(given, Image.Image) else _open(given)
        with own as opened:
            check_image(opened)
            pixels_HWC = _pixels(opened, column.shape[2])
        return _fitted(pixels_HWC, column, reading)
    except DataError as error:
        return Bad(f"{name}: {error}")
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return Bad(f"{name}: does not decode as an image: {printable(str(error))[:160]}")


def _opened(item: Any) -> tuple[str, Any]:
    if isinstance(item, tuple) and not isinstance(item[1], bytes):
        return item
    return name_of(item), item


def _open(item: Any) -> Image.Image:
    if isinstance(item, np.ndarray):
        return _of_array(item)
    content = content_of(item)
    return Image.open(content if isinstance(content, Path) else io.BytesIO(content))


def _of_array(array: np.ndarray) -> Image.Image:
    plain = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if plain.dtype != np.uint8 or (plain.ndim != 2 and plain.shape[2:] != (3,)):
        raise DataError(
            f"an image must be uint8 (H, W) or (H, W, 3), got {array.dtype} {array.shape}"
        )
    return Image.fromarray(plain)


def _pixels(opened: Image.Image, channels: int) -> np.ndarray:
    mode, known = MODES[channels]
    if known is not None and opened.mode not in known:
        raise DataError(
            f"has {len(opened.getbands())} channels (mode {opened.mode}), but the model reads "
            f"{channels}; make it grey"
        )
    pixels = np.asarray(opened.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def as_stored(pixels_HWC: np.ndarray, column: ImageColumn, reading: RawReading) -> np.ndarray:
    """Return an image as the dataset's were fitted; as it is where those were not."""
    shape, options = column.shape, reading.options
    fits = reading.kind in DECODED or options.size is not None or options.box is not None
    if not fits or shape[0] != shape[1]:
        return pixels_HWC
    fitted: np.ndarray = fit_images(pixels_HWC[None], shape[0], options.fit, options.box)[0]
    return fitted


def _fitted(pixels_HWC: np.ndarray, column: ImageColumn, reading: RawReading) -> np.ndarray:
    """Return an image of the column's shape. Raises DataError where it is of another."""
    shape, pixels_HWC = column.shape, as_stored(pixels_HWC, column, reading)
    if pixels_HWC.shape != shape:
        height, width = pixels_HWC.shape[:2]
        raise DataError(
            f"is {width} x {height} pixels, but the model was trained on images of {shape[1]} x "
            f"{shape[0]} as they were; scale it"
        )
    return pixels_HWC
