"""Decoding images: files, or their bytes, to pixels.

Legend: H height, W width, C channels.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import ExifTags, Image

from raytl.data.fitting import fit_images
from raytl.data.importers.base import ShardOptions
from raytl.data.importers.encoded import Encoded, content_of, is_far, name_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable

SIDE = 224  # where no size is given
THREADS, FAR_THREADS = 8, 32  # that decode files of this machine, or of another
MOST_PIXELS = 89_478_485  # of an image that is decoded: where Pillow begins to warn
# What turns an image upright, by the value of EXIF's Orientation
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = range(5, 9)  # of them those that exchange width and height
TAGS_OF_PNG = {"exif", "Raw profile type exif", "XML:com.adobe.xmp"}
TURNED = ", turned as its EXIF tag says"
NO_BYTES = ("I", "F")  # how the names of Pillow's modes begin that hold more than 8 bits a channel


def how_fitted(options: ShardOptions) -> list[str]:
    """Return a note on what becomes of images where no size is given."""
    if options.size is not None:
        return []
    done = {"stretch": "stretched to", "pad": "padded into", "crop": "cropped to"}[options.fit]
    return [
        f"images of every size are {done} {SIDE} x {SIDE} pixels; "
        "--size and --fit stretch, pad or crop say otherwise"
    ]


def shape_of(sizes: set[tuple[int, int]], options: ShardOptions) -> tuple[int, int]:
    """Return what images of these `sizes`, (H, W), are stored as, where they may keep their own.
    Raises ConfigError where they differ and there is no `--size`, and for a `--box` without it."""
    if options.size is not None:
        return options.size, options.size
    if options.box is not None:
        raise ConfigError(
            f"--box {options.box} is a square in a frame of --size, which is not given; give both, "
            "or neither"
        )
    if len(sizes) > 1:
        some = ", ".join(f"{width} x {height}" for height, width in sorted(sizes)[:3])
        raise ConfigError(
            f"images are of {len(sizes)} sizes ({some}, …); give --size, which makes all of one, "
            "and --fit for how"
        )
    return next(iter(sizes))


def decoded(
    images: Sequence[Encoded], size: int | None, options: ShardOptions
) -> list[np.ndarray | str]:
    """Return what `decode` does of each image, in order."""
    with ThreadPoolExecutor(threads_for(images)) as pool, unwarned():
        return list(pool.map(lambda image: decode(image, size, options), images))


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """Let Pillow warn of nothing meanwhile: neither of huge images, which `check_image` refuses,
    nor of broken tags, which `upright` ignores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


def threads_for(files: Sequence[Encoded]) -> int:
    """Return how many threads read files: they wait for a server, or share this machine's cores."""
    return FAR_THREADS if any(map(is_far, files)) else THREADS


def decode(image: Encoded, size: int | None, options: ShardOptions) -> np.ndarray | str:
    """Return the image as (size, size, 3) uint8, or as it is without a size, or what is wrong with
    it. Raises RaytlError where it cannot be reached."""
    name = name_of(image)
    try:
        content = content_of(image)
    except DataError as error:
        return str(error)
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as opened:
            check_image(opened)
            pixels_HWC = np.asarray(upright(opened).convert("RGB"))
        if size is None:
            return pixels_HWC
        return fit_images(pixels_HWC[None], size, options.fit, options.box)[0]
    except DataError as error:
        return f"{name}: {error}"
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{name}: does not decode as an image: {printable(str(error))}"


def upright(opened: Image.Image) -> Image.Image:
    """Return an image as viewers show it: turned as the EXIF tag in its header says, or the very
    one that was given, not yet decoded, where that says nothing."""
    if not is_turned(opened):
        return opened
    opened.load()  # by which a TIFF turns itself
    tag = _orientation(opened)
    # Pillow's own exif_transpose writes all tags anew, and fails where one is odd
    return opened if tag not in TURNS else opened.transpose(TURNS[tag])


def is_turned(opened: Image.Image) -> bool:
    """Whether its EXIF tag says that an image, not yet decoded, is to be turned."""
    return _orientation(opened) in TURNS


def upright_size(opened: Image.Image) -> tuple[int, int]:
    """Return (H, W) of an image as viewers show it, which is not decoded for it."""
    if opened.format == "TIFF":  # whose header Pillow may have turned
        image = upright(opened)
        return image.height, image.width
    sideways = _orientation(opened) in SIDEWAYS
    return (opened.width, opened.height) if sideways else (opened.height, opened.width)


def _orientation(opened: Image.Image) -> int | None:
    if opened.format == "PNG" and not TAGS_OF_PNG & opened.info.keys():
        return None  # Pillow would decode it, and look behind the pixels
    try:
        return opened.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of every kind that broken tags provoke; viewers ignore them
        return None


def check_image(opened: Image.Image) -> None:
    """Raise DataError for an image that is too large, or has more than 8 bits a channel."""
    if opened.width * opened.height > MOST_PIXELS:
        raise DataError(f"{opened.width} x {opened.height} pixels are more than {MOST_PIXELS:,}")
    if opened.mode.startswith(NO_BYTES):
        raise DataError(
            f"mode {opened.mode} has more than 8 bits a channel, which RGB would cut off"
        )
