"""What is found, made small enough for a report.

Legend: N rows, H height, W width, C channels.
"""

import base64
import math

import numpy as np
from PIL import Image

from raytl.tasks.mask_pictures import as_png, as_rgb

THUMBNAIL = 96  # pixels of a shown image's longer side
MOST_PLACES = 14  # of a shown map's side
MOST_TOKENS = 60  # of a shown text


def thumbnail(image_HWC: np.ndarray) -> str:
    """Return a small PNG of a stored image, in base64."""
    height, width = image_HWC.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    shape = max(1, round(scale * height)), max(1, round(scale * width))
    return base64.b64encode(as_png(Image.fromarray(as_rgb(image_HWC, shape)))).decode()


def points(flat_N2: np.ndarray) -> list[tuple[float, float]]:
    """Return points with as many digits as are seen."""
    return [(float(f"{x:.4g}"), float(f"{y:.4g}")) for x, y in flat_N2]


def grid(map_HW: np.ndarray) -> list[list[float]]:
    """Return a map of shares, each the mean of what it covers, MOST_PLACES a side at most."""
    height, width = map_HW.shape
    step = max(1, math.ceil(max(height, width) / MOST_PLACES))
    return [
        [round(float(map_HW[y : y + step, x : x + step].mean()), 2) for x in range(0, width, step)]
        for y in range(0, height, step)
    ]


def rounded(tokens: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the first tokens with two decimals each."""
    return [(word, round(share, 2)) for word, share in tokens[:MOST_TOKENS]]
