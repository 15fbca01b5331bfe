"""From stored images to a backbone's input.

Legend: B batch, H height, W width, C channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from raytl.errors import DataError

# ITU-R BT.601 luminance of red, green and blue.
LUMINANCE = (0.299, 0.587, 0.114)


def pixels(x: Tensor) -> Tensor:
    """Return stored images as float32: uint8 is divided by 255, float32 taken as is."""
    return x.float().div_(255.0) if x.dtype == torch.uint8 else x.float()


class InputTransform:
    """Scale, fit channels, resize and normalise; deterministic, on the tensor's own device."""

    def __init__(
        self, input_shape: tuple[int, int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """`input_shape` (C, H, W); `mean` and `std` per channel of pixels in [0, 1], or one for
        all channels."""
        self.input_shape = input_shape
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, x_BHWC: Tensor) -> Tensor:
        """Return float32 x_BCHW of the input shape.

        Raises DataError for a change of channels other than grey to colour or back.
        """
        x = pixels(x_BHWC.permute(0, 3, 1, 2))
        channels, height, width = self.input_shape
        x = _fit_channels(x, channels)
        if x.shape[2:] != (height, width):
            x = F.interpolate(
                x, (height, width), mode="bilinear", antialias=True, align_corners=False
            )
        mean, std = self.mean.to(x.device), self.std.to(x.device)
        return (x - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)


def _fit_channels(x_BCHW: Tensor, channels: int) -> Tensor:
    found = x_BCHW.shape[1]
    if found == channels:
        return x_BCHW
    if found == 1:
        return x_BCHW.expand(-1, channels, -1, -1)
    if found == 3 and channels == 1:
        weights = torch.tensor(LUMINANCE, device=x_BCHW.device).view(1, 3, 1, 1)
        return (x_BCHW * weights).sum(1, keepdim=True)
    raise DataError(
        f"images with {found} channels do not fit a backbone with {channels}; only grey and "
        "colour are converted"
    )
