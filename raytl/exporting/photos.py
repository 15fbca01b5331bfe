"""How photos become what a network takes: in words, and in other libraries' settings.

Legend: C channels, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raytl.data.fitting import Fit, Frame
from raytl.data.raw.pictures import frame_of
from raytl.data.raw.reading import raw_reading
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.models.source_folder import CompleteModel

WORDS: Mapping[Fit, str] = {
    "stretch": "stretched to {0}",
    "pad": "scaled to fit inside {0}, the rest black",
    "crop": "scaled to cover {0}, the middle cut out",
}
# What timm calls that; it pads with the mean colour, where raytl pads with black
CROP_MODES: Mapping[Fit, str] = {"stretch": "squash", "pad": "border", "crop": "center"}


def framed(frame: Frame) -> str:
    """Return in words how images are fitted into a frame."""
    words = WORDS[frame.how].format(_sides(frame.box or frame.size, frame.box or frame.size))
    if frame.box:
        words += f", centred in {_sides(frame.size, frame.size)} of black"
    return f"{words} (bilinear, antialiased)"


@dataclass(frozen=True)
class Photos:
    """The way of a model's images: fitted into a `frame`, as those were that it learnt from (None:
    all have the `stored` height and width already), then stretched by its `transform`."""

    frame: Frame | None
    stored: tuple[int, int]
    transform: ImageTransform

    @classmethod
    def of(cls, complete: CompleteModel) -> "Photos":
        """Return that of a model that reads images alone."""
        ((name, transform),) = complete.transforms.items()
        reading = raw_reading(complete.spec.rows, complete.transforms)
        column = reading.columns[name]
        assert isinstance(transform, ImageTransform) and isinstance(column, ImageColumn)
        return cls(frame_of(column, reading), column.shape[:2], transform)

    @property
    def stretched(self) -> bool:
        """Whether all of it is one stretch."""
        frame = self.frame
        if frame is None:
            return True
        return frame.how == "stretch" and not frame.box and self._fits

    @property
    def interpolation(self) -> str:
        """By what the last step scales."""
        return "bilinear" if self.frame and self._fits else self.transform.interpolation

    @property
    def crop_mode(self) -> str:
        """Which of timm's comes nearest."""
        return CROP_MODES["stretch" if self.frame is None else self.frame.how]

    @property
    def words(self) -> str:
        """What is done to an image, but for its colours."""
        steps = [] if self.frame is None else [framed(self.frame)]
        if self.frame is None or not self._fits:
            by = self.transform.interpolation
            steps.append(f"stretched to {_sides(*self._size)} ({by}, antialiased)")
        return ", then ".join(steps)

    @property
    def colours(self) -> dict[str, list[float]]:
        """The mean and std of each channel, of pixels in [0, 1]."""
        facts: dict[str, Any] = self.transform.facts()
        channels = self.transform.input_shape[0]
        return {
            key: facts[key] * (channels if len(facts[key]) == 1 else 1) for key in ("mean", "std")
        }

    @property
    def _size(self) -> tuple[int, int]:
        return self.transform.input_shape[1:]

    @property
    def _fits(self) -> bool:
        return self.stored == self._size


def _sides(height: int, width: int) -> str:
    return f"{height} x {width}"
