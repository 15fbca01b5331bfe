"""Images and the boxes that annotation files name, of every format alike; boxes put right.

Legend: n boxes, H height, W width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from raytl.data.fitting import fit_boxes
from raytl.data.importers.options import ShardOptions
from raytl.errors import DataError
from raytl.folders import printable

MOST_PIXELS = 2**31  # of a side
LEAST_SIDE = 0.999  # of a box that is stored: a pixel, but for rounding


@dataclass(frozen=True)
class Annotated:
    """An image and its boxes: x1, y1, x2, y2 in its pixels, and the names of their classes. `size`:
    (H, W) as the annotations have it, where they do. `hard`: boxes that were left out as they are
    marked as difficult or as crowds. `boxes_n4` None: there is no annotation of the image."""

    split: str
    image: Path
    boxes_n4: np.ndarray | None
    classes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    hard: int = 0


@dataclass
class Mended:
    """How many boxes of all images were left out, and why, or cut off."""

    no_area: list[str] = field(default_factory=list)  # the images' names
    outside: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    cropped: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    hard: int = 0

    def notes(self) -> list[str]:
        """Return a sentence on each that there are any of."""
        found = [
            _note(self.no_area, "without an area", "left out"),
            _note(self.outside, "outside their image", "left out"),
            _note(self.cut, "partly outside their image", "cut off at its edge"),
            _note(self.cropped, "outside what --fit crop keeps of their image", "left out"),
            _note(self.small, "of which less than a pixel is left", "left out"),
        ]
        if self.hard:
            found.append(f"boxes that are marked difficult or crowd, left out: {self.hard}")
        return [note for note in found if note]


def _note(images: Sequence[str], what: str, done: str) -> str:
    if not images:
        return ""
    return f"boxes {what}, {done}: {len(images)}, the first one in {images[0]}"


def mended(
    row: Annotated, shape: tuple[int, int], options: ShardOptions, found: Mended
) -> Annotated:
    """Return the row, whose image is `shape` (H, W), with boxes of the stored image that lie
    within it and are LEAST_SIDE wide and high; what was done to others is added to `found`."""
    found.hard += row.hard
    if row.boxes_n4 is None:
        return row
    name = printable(row.image.name)
    clipped_n4 = _clipped(row.boxes_n4, shape)
    has_area_n, within_n = _have_area(row.boxes_n4), _have_area(clipped_n4)
    kept_n = has_area_n & within_n
    found.no_area += [name] * int((~has_area_n).sum())
    found.outside += [name] * int((has_area_n & ~within_n).sum())
    found.cut += [name] * int((kept_n & (clipped_n4 != row.boxes_n4).any(axis=1)).sum())
    boxes_n4 = clipped_n4
    if options.size is not None:
        boxes_n4 = fit_boxes(clipped_n4, shape, options.size, options.fit, options.box)
        there_n = _have_area(boxes_n4)
        found.cropped += [name] * int((kept_n & ~there_n).sum())
        kept_n = kept_n & there_n
    whole_n = (boxes_n4[:, 2:] - boxes_n4[:, :2] >= LEAST_SIDE).all(axis=1)
    found.small += [name] * int((kept_n & ~whole_n).sum())
    kept_n = kept_n & whole_n
    classes = tuple(row.classes[i] for i in np.flatnonzero(kept_n))
    return replace(row, boxes_n4=boxes_n4[kept_n], classes=classes)


def _have_area(boxes_n4: np.ndarray) -> np.ndarray:
    stored_n4 = boxes_n4.astype(np.float32)
    return np.asarray((stored_n4[:, 2:] > stored_n4[:, :2]).all(axis=1))


def _clipped(boxes_n4: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(boxes_n4.clip(0, [shape[1], shape[0]] * 2))


def need_finite(numbers: Iterable[float], where: str) -> np.ndarray:
    """Return a box's numbers, float64. Raises DataError where one is not finite, or more pixels
    than any image has."""
    given = list(numbers)
    if not all(-MOST_PIXELS < number < MOST_PIXELS for number in given):
        raise DataError(
            f"{where}: a box has a number that is not finite, or a side more pixels than images "
            "have; mend it, or take it out"
        )
    return np.array(given, dtype=np.float64)


def refuse_shares(rows: Iterable[Annotated]) -> None:
    """Raise DataError where all boxes lie in their image's first pixel: they are shares, then."""
    boxes = [row.boxes_n4 for row in rows if row.boxes_n4 is not None and len(row.boxes_n4)]
    if boxes and max(float(of_image.max()) for of_image in boxes) <= 1:
        raise DataError(
            "no box reaches beyond the first pixel of its image; corners are pixels, not shares of "
            "width and height: multiply them"
        )
