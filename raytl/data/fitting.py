"""Fitting images into a square frame.

Legend: N rows, H height, W width, C channels.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    return Fitted(shape, Frame(size, how, box)).boxes(boxes_n4)


class _Laid(NamedTuple):
    """Where a frame has an image: pixel x of it at `by * x + moved`, to be seen from `low` to
    `high`; each of x, y, x, y."""

    by: np.ndarray
    moved: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """An image of a `shape` (H, W) in a frame, as `fit_images` puts it there."""

    shape: tuple[int, int]
    frame: Frame

    def boxes(self, boxes_n4: np.ndarray) -> np.ndarray:
        """Return boxes of the image in the frame; see `fit_boxes`."""
        by, moved, low, high = self._laid()
        return (boxes_n4 * by + moved).clip(low, high)

    def boxes_back(self, boxes_n4: np.ndarray) -> np.ndarray:
        """Return boxes in the frame as boxes of the image, clipped to what the frame has of it:
        some may then have no area."""
        by, moved, low, high = self._laid()
        height, width = self.shape
        return ((boxes_n4.clip(low, high) - moved) / by).clip(0, [width, height] * 2)

    def mask_back(self, mask_HW: np.ndarray, outside: int) -> np.ndarray:
        """Return a mask of the frame as one of the image, (H, W), by the nearest pixels; `outside`
        where the frame does not have it."""
        by, moved, low, high = self._laid()
        x, y = (
            np.floor((np.arange(side) + 0.5) * by[axis] + moved[axis]).astype(np.int64)
            for axis, side in enumerate(reversed(self.shape))
        )
        seen_x, seen_y = ((low[i] <= at) & (at < high[i]) for i, at in enumerate((x, y)))
        found_HW = np.full(self.shape, outside, mask_HW.dtype)
        found_HW[np.ix_(seen_y, seen_x)] = mask_HW[np.ix_(y[seen_y], x[seen_x])]
        return found_HW

    def _laid(self) -> _Laid:
        size, inner = self.frame.size, self.frame.box or self.frame.size
        scaled = _scaled_shape(*self.shape, inner, self.frame.how)
        # Cropped and centred, an image's middle stays: whole pixels to its left, the odd one right.
        first = [-((side - inner) // 2) if side > inner else 0 for side in scaled]
        kept = [min(side, inner) for side in scaled]
        top, left = ((size - side) // 2 for side in kept)
        return _Laid(
            np.array([scaled[1] / self.shape[1], scaled[0] / self.shape[0]] * 2),
            np.array([left + first[1], top + first[0]] * 2),
            np.array([left, top] * 2),
            np.array([left + kept[1], top + kept[0]] * 2),
        )


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
