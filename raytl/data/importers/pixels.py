"""Images in memory, of whatever kind, as pixels.

Legend: H height, W width, C channels.
"""

import sys
from typing import Any

import numpy as np

from raytl.data.importers.decoding import NO_BYTES, upright
from raytl.errors import DataError

FEW = (1, 2, 3, 4)  # channels, by which they are told from height and width


def as_array(values: Any) -> np.ndarray:
    """Return what is like an array as one of NumPy, in this machine's order of bytes: a tensor's,
    or a Series' say."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
        return np.asarray(values.numpy())
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        return np.ma.filled(values.astype(np.float64), np.nan)  # what is masked is missing
    return np.asarray(native(np.asarray(values)))


def native(values: Any) -> Any:
    """Return an array or a Series whose numbers have this machine's order of bytes, as Arrow and
    torch need it."""
    swapped = isinstance(values.dtype, np.dtype) and not values.dtype.isnative
    return values.astype(values.dtype.newbyteorder("=")) if swapped else values


def is_tensor(values: Any) -> bool:
    """Whether this is a tensor of torch, whose images have their channels first."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def pixels_of(image: Any, place: str) -> np.ndarray:
    """Return an image as (H, W, C): one of Pillow, L and RGB as they are and others as RGB; a
    tensor (H, W) or (C, H, W); an array (H, W) or (H, W, C).

    Raises DataError, which begins with the `place`, for what is none of these.
    """
    if hasattr(image, "mode") and hasattr(image, "convert"):
        return _of_pillow(image, place)
    pixels = as_array(image)
    if pixels.dtype.kind not in "biuf" or pixels.ndim not in (2, 3) or not pixels.size:
        what = f"{pixels.dtype} {pixels.shape}" if pixels.ndim else type(image).__name__
        raise DataError(
            f"{place}: an image is one of Pillow, a tensor (C, H, W) or an array (H, W, C), "
            f"got {what}"
        )
    if pixels.ndim == 2:
        return pixels[..., None]
    if is_tensor(image):
        pixels = np.moveaxis(pixels, 0, 2)
    need_last(pixels.shape, place, tensor=is_tensor(image))
    return pixels


def _of_pillow(image: Any, place: str) -> np.ndarray:
    if image.mode.startswith(NO_BYTES):
        raise DataError(
            f"{place}: mode {image.mode} has more than 8 bits a channel, which RGB would cut off; "
            "give it as an array of floats"
        )
    try:
        image = upright(image)
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    except Exception as error:  # Pillow reads now, and its decoders raise what the bytes provoke
        raise DataError(f"{place}: does not decode as an image: {error}") from None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def need_last(shape: tuple[int, ...], place: str, *, tensor: bool = False) -> None:
    """Raise DataError where the channels of an image, or of images, `(…, H, W, C)`, seem to stand
    elsewhere. `tensor`: they were first, and were moved."""
    height, _, channels = shape[-3:]
    if channels in FEW or (height not in FEW and not tensor):
        return
    told, meant, remedy = "(H, W, C)", "(C, H, W)", "move them, as by X.transpose(0, 2, 3, 1)"
    if tensor:
        told, meant, remedy = "(C, H, W)", "(H, W, C)", "move them, as by x.permute(2, 0, 1)"
        shape = (*shape[:-3], channels, *shape[-3:-1])
    raise DataError(
        f"{place}: images are {told} with 1 to 4 channels, got {shape}, which seems to be {meant}; "
        f"{remedy}"
    )
