"""Boxes drawn into images.

Legend: H height, W width, C channels, n boxes, D detections, K classes.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from raytl.tasks.mask_pictures import GAP, LARGEST, as_png, as_rgb, palette

SHOWN_SCORE = 0.5  # of a detection that is drawn, at least


def side_by_side(
    image_HWC: np.ndarray, true_n5: np.ndarray, said_D6: np.ndarray, classes: Sequence[str]
) -> bytes:
    """Return a PNG of the image with its true boxes and their classes, and of the image with those
    detections, and their scores, that a model is SHOWN_SCORE sure of or more."""
    height, width = image_HWC.shape[:2]
    scale = LARGEST / max(height, width)
    shape = (round(scale * height), round(scale * width))
    shown = as_rgb(image_HWC, shape)
    true = [(box[:4], box[4], "") for box in true_n5]
    said = [(box[:4], box[5], f" {box[4]:.2f}") for box in said_D6 if box[4] >= SHOWN_SCORE]
    gap = np.full((shape[0], GAP, 3), 255, np.uint8)
    parts = [_drawn(shown, boxes, classes, scale) for boxes in (true, said)]
    return as_png(Image.fromarray(np.concatenate([parts[0], gap, parts[1]], axis=1)))


def _drawn(
    shown_HWC: np.ndarray,
    boxes: Sequence[tuple[np.ndarray, float, str]],
    classes: Sequence[str],
    scale: float,
) -> np.ndarray:
    picture = Image.fromarray(shown_HWC)
    draw, colours = ImageDraw.Draw(picture), palette(len(classes) + 1)
    for corners, k, more in boxes:
        x1, y1, x2, y2 = (float(scale * corner) for corner in corners)
        colour = tuple(colours[int(k) + 1].tolist())  # the first colour of a palette is dark
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        draw.text((x1 + 3, y1 + 2), classes[int(k)] + more, fill=colour)
    return np.asarray(picture)
