"""Images to predict: files, or what a program has in memory.

Legend: H height, W width, C channels.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from raytl.data.fitting import Frame, fit_images
from raytl.data.importers.arrays import as_numbers
from raytl.data.importers.decoding import THREADS, check_image, unwarned, upright
from raytl.data.importers.encoded import content_of, name_of
from raytl.data.importers.image_folder import EXTENSIONS
from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.pixels import pixels_of
from raytl.data.raw.rows import RawReading, raw_input
from raytl.errors import DataError, ModelError
from raytl.folders import printable
from raytl.modalities.image.column import ImageColumn

__all__ = ["EXTENSIONS", "frame_of", "image_rows"]

# Kinds of datasets whose images came out of files, decoded to RGB and fitted to one size
DECODED = ("image-folder", "table", "huggingface", "webdataset", "objects")
MODES = {1: ("L", ("1", "L")), 3: ("RGB", None)}  # channels → Pillow's mode; which become it


def image_rows(column: ImageColumn, items: Sequence[Any], reading: RawReading) -> Input:
    """Return images for a column: paths, (name, bytes), or (name, Pillow's image, an array (H, W)
    or (H, W, C), or a tensor (C, H, W)). Raises ModelError where no file is read as such a column's
    images are."""
    of_files = column.dtype == "uint8" and column.shape[2] in MODES
    if not of_files and any(_is_encoded(item) for item in items):
        raise ModelError(
            f"the model reads images of {column.shape[2]} channels, {column.dtype}, which no image "
            "file holds; predict a dataset that `raytl shard arrays` made"
        )
    read = partial(_images, column=column, reading=reading)
    return raw_input(column, items, _stacked, read, _shapes)


class _Photo(NamedTuple):
    """An image of its column's shape, and the (H, W) that it had before."""

    pixels_HWC: np.ndarray
    shape: tuple[int, int]


def _stacked(photos: list[_Photo]) -> np.ndarray:
    return np.stack([photo.pixels_HWC for photo in photos])


def _shapes(photos: list[_Photo]) -> list[tuple[int, int]]:
    return [photo.shape for photo in photos]


def _is_encoded(item: Any) -> bool:
    """Whether this is an image file, or its bytes, and not pixels that a program has."""
    return not isinstance(item, Bad) and not (
        isinstance(item, tuple) and not isinstance(item[1], bytes)
    )


def _images(items: list[Any], column: ImageColumn, reading: RawReading) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool, unwarned():
        return list(pool.map(partial(_image, column=column, reading=reading), items))


def _image(item: Any, column: ImageColumn, reading: RawReading) -> _Photo | Bad:
    encoded = _is_encoded(item)
    name = name_of(item) if encoded else item[0]
    try:
        pixels_HWC = _decoded(item, column) if encoded else _held(name, item[1], column)
        height, width = pixels_HWC.shape[:2]
        return _Photo(_fitted(pixels_HWC, column, reading), (height, width))
    except DataError as error:
        return Bad(f"{name}: {str(error).removeprefix(f'{name}: ')}")
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return Bad(f"{name}: does not decode as an image: {printable(str(error))[:160]}")


def _decoded(item: Any, column: ImageColumn) -> np.ndarray:
    content = content_of(item)
    with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as opened:
        return _pixels(opened, column.shape[2])


def _held(name: str, held: Any, column: ImageColumn) -> np.ndarray:
    """Return pixels of what a program has, which leaves it as it is."""
    channels = column.shape[2]
    if isinstance(held, Image.Image):
        return _pixels(held, channels)
    pixels_HWC = as_numbers(pixels_of(held, name))
    if pixels_HWC.dtype != np.dtype(column.dtype):
        raise DataError(
            f"images must be {column.dtype}, as those were that the model was trained on, got "
            f"{pixels_HWC.dtype}"
        )
    if pixels_HWC.dtype == np.uint8 and {channels, pixels_HWC.shape[2]} <= MODES.keys():
        plain = pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC
        return _pixels(Image.fromarray(plain), channels)
    if pixels_HWC.shape[2] != channels:
        raise DataError(f"has {pixels_HWC.shape[2]} channels, but the model reads {channels}")
    return pixels_HWC


def _pixels(opened: Image.Image, channels: int) -> np.ndarray:
    check_image(opened)
    mode, known = MODES[channels]
    if known is not None and opened.mode not in known:
        raise DataError(
            f"has {len(opened.getbands())} channels (mode {opened.mode}), but the model reads "
            f"{channels}; make it grey"
        )
    pixels = np.asarray(upright(opened).convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def frame_of(column: ImageColumn, reading: RawReading) -> Frame | None:
    """Return what a column's images are fitted into; None where they are taken as they are."""
    (height, width, _), options = column.shape, reading.options
    fits = reading.kind in DECODED or options.size is not None or options.box is not None
    return Frame(height, options.fit, options.box) if fits and height == width else None


def _fitted(pixels_HWC: np.ndarray, column: ImageColumn, reading: RawReading) -> np.ndarray:
    """Return an image of the column's shape, fitted as the dataset's were. Raises DataError where
    it is of another."""
    shape, frame = column.shape, frame_of(column, reading)
    if frame is not None:
        pixels_HWC = fit_images(pixels_HWC[None], frame.size, frame.how, frame.box)[0]
    if pixels_HWC.shape != shape:
        height, width = pixels_HWC.shape[:2]
        raise DataError(
            f"is {width} x {height} pixels, but the model was trained on images of {shape[1]} x "
            f"{shape[0]} as they were; scale it"
        )
    return pixels_HWC
