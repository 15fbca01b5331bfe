"""Photos as a phone writes them: pixels as the sensor lay, and a tag that says how to turn them."""

import io

import numpy as np
from PIL import Image

TURNED = 6  # the tag's value: a quarter to the right


def photo(kind: str = "png", size: tuple[int, int] = (4, 6), tag: int = TURNED) -> bytes:
    """Return a file of an image that as a viewer shows it has this size, (H, W), and its upper half
    white; a viewer that knows no tags shows it on its side."""
    upright = np.zeros((*size, 3), np.uint8)
    upright[: size[0] // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = tag
    buffer = io.BytesIO()
    turned = np.rot90(upright) if tag == TURNED else upright
    Image.fromarray(turned).save(buffer, kind, exif=exif)
    return buffer.getvalue()
