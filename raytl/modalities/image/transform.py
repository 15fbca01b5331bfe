"""From stored images to a network's input.

Legend: B batch, H height, W width, C channels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional as F

from raytl.config import Normalization
from raytl.errors import DataError, ModelError
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.spec import Shape
from raytl.rows import moved

# ITU-R BT.601 luminance of red, green and blue.
LUMINANCE = (0.299, 0.587, 0.114)
Interpolation = Literal["bilinear", "bicubic"]


def pixels(x: Tensor) -> Tensor:
    """Return stored images as float32: uint8 is divided by 255, float32 taken as is."""
    return x.float().div_(255.0) if x.dtype == torch.uint8 else x.float()


class ImageTransform(Transform):
    """Scale, fit channels, resize and normalise; deterministic, on the tensor's own device.

    Resized is to the very shape, whatever the sides were: what is to be cut off was cut when the
    dataset was sharded. timm deviates: it scales the shorter side to size / `crop_pct` and cuts the
    middle out of that.
    """

    keeps_prepared = False  # `prepare` copies nothing

    def __init__(
        self,
        input_shape: Shape,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: Interpolation = "bilinear",
    ) -> None:
        """`input_shape` (C, H, W); `mean` and `std` per channel of pixels in [0, 1], or one for
        all channels."""
        self.input_shape, self.interpolation = input_shape, interpolation
        self._numbers = {"mean": list(mean), "std": list(std)}
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def prepare(self, values: np.ndarray) -> Tensor:
        """Return images_NHWC as a tensor that shares their memory."""
        return torch.from_numpy(values)

    def __call__(self, rows: Tensor) -> Tensor:  # type: ignore[override]
        """Return float32 x_BCHW of the input shape, of prepared x_BHWC.

        Raises DataError for a change of channels other than grey to colour or back.
        """
        x = pixels(rows.permute(0, 3, 1, 2))
        channels, height, width = self.input_shape
        x = fit_channels(x, channels)
        if x.shape[2:] != (height, width):
            x = F.interpolate(
                x, (height, width), mode=self.interpolation, antialias=True, align_corners=False
            )
            if self.interpolation == "bicubic" and rows.dtype == torch.uint8:
                x = x.clamp(0.0, 1.0)  # beyond which it swings at edges
        mean, std = moved(self.mean, x.device), moved(self.std, x.device)
        return (x - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)

    def for_column(self, column: Column) -> "ImageTransform":
        """Return itself. Raises ModelError for images whose channels cannot be converted."""
        assert isinstance(column, ImageColumn)
        wanted, found = self.input_shape[0], column.shape[2]
        if wanted != found and {wanted, found} != {1, 3}:
            raise ModelError(
                f"it takes {wanted} channels, but the images have {found}; only grey and colour "
                "are converted"
            )
        return self

    def facts(self) -> dict[str, Any]:
        """Return `input_shape`, `mean`, `std`, and `interpolation` where it is not bilinear."""
        facts = {"input_shape": list(self.input_shape)} | self._numbers
        used = self.interpolation != "bilinear"
        return facts | ({"interpolation": self.interpolation} if used else {})

    def example(self, rows: int) -> Tensor:
        """Return black images of the input shape, uint8 (rows, H, W, C)."""
        channels, height, width = self.input_shape
        return torch.zeros(rows, height, width, channels, dtype=torch.uint8)


def fit_channels(x_BCHW: Tensor, channels: int) -> Tensor:
    """Return images of so many channels: grey ones repeated, colours weighed to grey. Raises
    DataError for any other change."""
    found = x_BCHW.shape[1]
    if found == channels:
        return x_BCHW
    if found == 1:
        return x_BCHW.expand(-1, channels, -1, -1)
    if found == 3 and channels == 1:
        weights = moved(torch.tensor(LUMINANCE), x_BCHW.device).view(1, 3, 1, 1)
        return (x_BCHW * weights).sum(1, keepdim=True)
    raise DataError(
        f"images with {found} channels do not fit a backbone with {channels}; only grey and "
        "colour are converted"
    )


def check_channels(normalization: Normalization, channels: int) -> None:
    """Raise ValueError where mean and std are neither one nor as many as the channels."""
    found = len(normalization.mean)
    if found not in (1, channels):
        raise ValueError(
            f"normalization: mean and std must be one number or {channels}, as many as the input "
            f"has channels, got {found}"
        )


class _Facts(BaseModel):
    """What `ImageTransform.facts` gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _fits(self) -> "_Facts":
        given = Normalization(mean=self.mean, std=self.std)
        check_channels(given, self.input_shape[0])
        return self


def transform_of(facts: Mapping[str, Any]) -> ImageTransform:
    """Return the transform that `facts` were taken of; raises ValueError, a sentence, where they
    are none."""
    try:
        read = _Facts.model_validate(dict(facts))
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(f"{place}{first['msg'].removeprefix('Value error, ')}") from None
    return ImageTransform(read.input_shape, read.mean, read.std, read.interpolation)
