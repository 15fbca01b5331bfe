"""Fitting images into a square frame.

Legend: N rows, H height, W width, C channels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raytl.errors import DataError

Fit = Literal["stretch", "pad", "crop"]
MOST_PIXELS = 2**24  # of one scaled image, before it is cropped


@dataclass(frozen=True)
class Frame:
    """What images of any shape are fitted into: see `fit_images`."""

    size: int
    how: Fit
    box: int | None


def fit_images(
    images_NHWC: np.ndarray,
    size: int,
    how: Fit = "stretch",
    box: int | None = None,
    *,
    outside: int = 0,
    nearest: bool = False,
) -> np.ndarray:
    """Return the images as size × size, of the same dtype.

    - stretch: both sides are scaled to `size`;
    - pad: scaled to fit inside, the rest `outside`;
    - crop: scaled to cover, the middle cut out.

    With `box` they are fitted into box × box first and that is centred in a frame of `outside`, as
    MNIST places its digits (20 in 28). Bilinear, antialiased; `nearest` takes the nearest pixel, as
    class numbers have no mean. Raises DataError where the box is larger than the frame, or where an
    image is so narrow that covering the frame would take gigabytes.
    """
    inner = box or size
    if inner > size:
        raise DataError(f"box <= size must hold, got box={inner}, size={size}")
    height, width = images_NHWC.shape[1:3]
    shape = _scaled_shape(height, width, inner, how)
    if shape[0] * shape[1] > MOST_PIXELS:
        raise DataError(
            f"an image of {width} x {height} pixels is too narrow to be cropped to {inner}: it "
            f"would be scaled to {shape[1]} x {shape[0]} first; use --fit stretch or pad"
        )
    scaled = _resize(images_NHWC, *shape, nearest)
    if how == "crop":
        top, left = (scaled.shape[1] - inner) // 2, (scaled.shape[2] - inner) // 2
        scaled = scaled[:, top : top + inner, left : left + inner]
    return _centre(scaled, size, outside)


def _scaled_shape(height: int, width: int, inner: int, how: Fit) -> tuple[int, int]:
    """Return the height and width of an image before it is cropped or centred."""
    if how == "stretch":
        return inner, inner
    scale = {"pad": min, "crop": max}[how](inner / height, inner / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_boxes(
    boxes_n4: np.ndarray,
    shape: tuple[int, int],
    size: int,
    how: Fit = "stretch",
    box: int | None = None,
) -> np.ndarray:
    """Return boxes, x1, y1, x2, y2 in pixels of an image of `shape` (H, W), where `fit_images` puts
    what they hold, clipped to what is to be seen of the image: some may then have no area."""
    scaled = _scaled_shape(*shape, box or size, how)
    # Cropped and centred, an image's middle stays: whole pixels to its left, the odd one right.
    first = [-((side - (box or size)) // 2) if side > (box or size) else 0 for side in scaled]
    kept = [min(side, box or size) for side in scaled]
    top, left = ((size - side) // 2 for side in kept)
    by = np.array([scaled[1] / shape[1], scaled[0] / shape[0]] * 2)
    moved_n4 = boxes_n4 * by + np.array([left + first[1], top + first[0]] * 2)
    return moved_n4.clip([left, top] * 2, [left + kept[1], top + kept[0]] * 2)


def _centre(images_NHWC: np.ndarray, size: int, outside: int) -> np.ndarray:
    count, height, width, channels = images_NHWC.shape
    if (height, width) == (size, size):
        return np.ascontiguousarray(images_NHWC)
    out = np.full((count, size, size, channels), outside, images_NHWC.dtype)
    top, left = (size - height) // 2, (size - width) // 2
    out[:, top : top + height, left : left + width] = images_NHWC
    return out


def _resize(images_NHWC: np.ndarray, height: int, width: int, nearest: bool) -> np.ndarray:
    if images_NHWC.shape[1:3] == (height, width):
        return images_NHWC
    # Imported here: what is wrong with an option is said without waiting for torch.
    import torch
    from torch.nn import functional as F

    x = torch.from_numpy(images_NHWC.astype(np.float32)).permute(0, 3, 1, 2)
    if nearest:
        x = F.interpolate(x, (height, width), mode="nearest-exact")
    else:
        x = F.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
    y = x.permute(0, 2, 3, 1).contiguous().numpy()
    if images_NHWC.dtype == np.uint8:
        return y.round().clip(0, 255).astype(np.uint8)
    return y
