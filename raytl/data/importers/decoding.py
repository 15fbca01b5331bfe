"""Decoding images: files, or their bytes, to pixels.

Legend: H height, W width, C channels.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.data.fitting import fit_images
from raytl.data.importers.base import CHUNK, ShardOptions
from raytl.errors import DataError
from raytl.folders import printable

SIDE = 224  # where no size is given
RAY_FROM = 2000  # files: with fewer, starting Ray costs more than its processes gain
MOST_PIXELS = 89_478_485  # of an image that is decoded: where Pillow begins to warn
NO_BYTES = ("I", "F")  # how the names of Pillow's modes begin that hold more than 8 bits a channel

Encoded = Path | tuple[str, bytes]  # a file, or what to call it and its bytes


def how_fitted(options: ShardOptions) -> list[str]:
    """Return a note on what becomes of images where no size is given."""
    if options.size is not None:
        return []
    done = {"stretch": "stretched to", "pad": "padded into", "crop": "cropped to"}[options.fit]
    return [
        f"images of every size are {done} {SIDE} x {SIDE} pixels; "
        "--size and --fit stretch, pad or crop say otherwise"
    ]


def decoded(images: Sequence[Encoded], options: ShardOptions) -> Iterator[list[Any]]:
    """Yield lists of CHUNK images (size, size, 3) uint8, or messages where one does not decode, in
    order."""
    parts = [list(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]

    def one(image: Encoded) -> np.ndarray | str:
        return decode(image, options.size or SIDE, options)

    if len(images) < RAY_FROM or not all(isinstance(image, Path) for image in images):
        with ThreadPoolExecutor() as pool:
            for part in parts:
                with warnings.catch_warnings():  # of huge images, which `decode` refuses
                    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                    done = list(pool.map(one, part))
                yield done
        return
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    rows = ray.data.from_items([{"paths": [str(path) for path in part]} for part in parts])
    found = rows.map(lambda row: {"images": [one(Path(path)) for path in row["paths"]]})
    for row in found.iter_rows():
        yield row["images"]


def decode(image: Encoded, size: int | None, options: ShardOptions) -> np.ndarray | str:
    """Return the image as (size, size, 3) uint8, or as it is without a size, or what is wrong with
    it."""
    name, content = (image, image) if isinstance(image, Path) else (image[0], io.BytesIO(image[1]))
    try:
        with Image.open(content) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise DataError(
                    f"{opened.width} x {opened.height} pixels are more than {MOST_PIXELS:,}"
                )
            if opened.mode.startswith(NO_BYTES):
                raise DataError(
                    f"mode {opened.mode} has more than 8 bits a channel, which RGB would cut off"
                )
            pixels_HWC = np.asarray(opened.convert("RGB"))
        if size is None:
            return pixels_HWC
        return fit_images(pixels_HWC[None], size, options.fit, options.box)[0]
    except DataError as error:
        return f"{printable(name)}: {error}"
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{printable(name)}: does not decode as an image: {printable(str(error))}"
