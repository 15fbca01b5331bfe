"""Masks as pictures.

Legend: N rows, H height, W width, C channels, K classes.
"""

import colorsys
import io

import numpy as np
from PIL import Image

from raytl.tasks.mask_column import VOID

SHADE = 0.55  # of a class's colour over the image
LARGEST = 320  # pixels of a shown image's longer side
GAP = 4  # white pixels between images


def palette(classes: int) -> np.ndarray:
    """Return colours that differ, uint8 (256, 3): of the classes, the first one dark; VOID is
    white."""
    colours = np.full((VOID + 1, 3), 255, np.uint8)
    for k in range(classes):
        hue, light = (k * 0.381966) % 1, 0.5 if k % 2 else 0.35
        colours[k] = [round(255 * part) for part in colorsys.hls_to_rgb(hue, light, 0.8)]
    colours[0] = [40, 40, 60]
    return colours


def encoded_mask(mask_HW: np.ndarray, classes: int) -> bytes:
    """Return class numbers as a palette PNG, which `raytl shard mask-folder` reads again."""
    picture = Image.fromarray(mask_HW, mode="P")
    picture.putpalette(palette(classes).reshape(-1).tolist())
    return as_png(picture)


def overlays(
    image_HWC: np.ndarray, target_HW: np.ndarray, said_HW: np.ndarray, classes: int
) -> bytes:
    """Return a PNG of the image, of its true classes over it, and of the predicted ones."""
    shown = as_rgb(image_HWC, target_HW.shape)
    colours = palette(classes)
    parts = [shown, *(_over(shown, mask, colours) for mask in (target_HW, said_HW))]
    gap = np.full((len(shown), GAP, 3), 255, np.uint8)
    joined = np.concatenate([parts[0], gap, parts[1], gap, parts[2]], axis=1)
    picture = Image.fromarray(joined)
    scale = min(1.0, LARGEST / max(target_HW.shape))
    if scale < 1:
        picture = picture.resize((round(scale * joined.shape[1]), round(scale * joined.shape[0])))
    return as_png(picture)


def as_rgb(image_HWC: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return any image as uint8 RGB of that height and width."""
    if image_HWC.dtype != np.uint8:
        low, high = float(image_HWC.min()), float(image_HWC.max())
        image_HWC = (255 * (image_HWC - low) / max(high - low, 1e-6)).astype(np.uint8)
    rgb = np.repeat(image_HWC[..., :1], 3, axis=2) if image_HWC.shape[2] < 3 else image_HWC[..., :3]
    return np.asarray(Image.fromarray(rgb).resize((shape[1], shape[0])))


def _over(shown_HWC: np.ndarray, mask_HW: np.ndarray, colours: np.ndarray) -> np.ndarray:
    mixed = (1 - SHADE) * shown_HWC + SHADE * colours[mask_HW]
    return np.where((mask_HW == VOID)[..., None], shown_HWC, mixed).astype(np.uint8)


def as_png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
