"""Random augmentation of images.

Legend: B batch, H height, W width, C channels.
"""

import numpy as np

from raytl.config import AugmentConfig

DRAWS = 3  # of each row: whether it is flipped, and where it is cropped


def augment(
    images_BHWC: np.ndarray, config: AugmentConfig, draws_B3: np.ndarray, outside: int = 0
) -> np.ndarray:
    """Return the images flipped left to right (half of them) and shifted by up to `config.crop`
    pixels, what comes in from outside black, or `outside`. `draws_B3`: uniform in [0, 1)."""
    out = images_BHWC
    if config.flip:
        flipped_B = draws_B3[:, 0] < 0.5
        out = np.where(flipped_B[:, None, None, None], out[:, :, ::-1], out)
    if config.crop:
        pad = config.crop
        around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        padded = np.pad(out, around, constant_values=outside)
        down_B, right_B = (draws_B3[:, 1:] * (2 * pad + 1)).astype(np.int64).T
        rows = down_B[:, None, None] + np.arange(out.shape[1])[None, :, None]
        columns = right_B[:, None, None] + np.arange(out.shape[2])[None, None, :]
        out = padded[np.arange(len(out))[:, None, None], rows, columns]
    return np.ascontiguousarray(out)
