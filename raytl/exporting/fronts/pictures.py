"""Fronts of networks that read pictures: of images and of sounds.

Legend: B batch, C channels, H height, W width, M mel bands, T frames.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.data.fitting import Frame
from raytl.exporting.fronts.base import BATCH, Front, Slot
from raytl.exporting.photos import framed
from raytl.exporting.resizing import Resized
from raytl.modalities.audio.transform import AudioTransform
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform, fit_channels, pixels
from raytl.rows import Rows


class ImageFront(Front):
    """Stored images, scaled, fitted and normalised in the program."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, name: str, transform: ImageTransform, column: Column | None, frame: Frame | None
    ) -> None:
        """Without a `column` images are as the network takes them, without a `frame` taken as they
        are."""
        super().__init__()
        channels, height, width = transform.input_shape
        shape, dtype = (height, width, channels), "uint8"
        if isinstance(column, ImageColumn):
            shape, dtype = column.shape, column.dtype
        self.transform, self.channels = transform, channels
        colours = {1: "grey", 3: "RGB"}.get(shape[2], f"{shape[2]} channels")
        value = "0 to 255" if dtype == "uint8" else "as they were stored for training"
        fitted = "" if frame is None else f", {framed(frame)}"
        holds = (
            f"images, {colours}, channels last, {value}{fitted}; scaled and normalised in the "
            "program"
        )
        self.frame = frame
        self.slots = (Slot(name, dtype, (BATCH, *shape), holds),)
        self.resized = Resized(shape[:2], (height, width), transform.interpolation)
        self.clamps = transform.interpolation == "bicubic" and dtype == "uint8"
        self.register_buffer("mean", transform.mean.view(1, -1, 1, 1).clone())
        self.register_buffer("std", transform.std.view(1, -1, 1, 1).clone())

    def forward(self, *tensors: Tensor) -> Tensor:
        x = fit_channels(pixels(tensors[0].permute(0, 3, 1, 2)), self.channels)
        x = self.resized(x)
        x = x.clamp(0.0, 1.0) if self.clamps else x
        return (x - self.mean) / self.std

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        (slot,) = self.slots
        shape = (rows, *map(int, slot.shape[1:]))
        whole = slot.dtype == "uint8"
        images = random.integers(0, 256, shape, np.uint8) if whole else random.random(shape)
        x = torch.from_numpy(images.astype(slot.dtype))
        return (x,), x

    def own_facts(self) -> dict[str, Any]:
        """How an image of any shape is fitted; `fit` is None where it is taken as it is."""
        (slot,), frame = self.slots, self.frame
        fit, box = (None, None) if frame is None else (frame.how, frame.box)
        return {"size": list(slot.shape[1:3]), "fit": fit, "box": box}


class AudioFront(Front):
    """Spectrograms, which the program scales to the network's size."""

    def __init__(self, name: str, transform: AudioTransform) -> None:
        super().__init__()
        bands, frames = (int(side) for side in transform.example(1).shape[1:])
        self.transform = transform
        self.channels, height, width = transform.input_shape
        holds = (
            "log-mel energies, scaled: for each sound ln(energy + 1e-6) of each band (mel scale of "
            "HTK) and frame (Hann's window), around the sound's centre, minus mean, over std; "
            "`spectrogram` says of which size"
        )
        self.slots = (Slot(name, "float32", (BATCH, bands, frames), holds),)
        self.resized = Resized((bands, frames), (height, width), "bilinear")

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.resized(tensors[0].unsqueeze(1)).expand(-1, self.channels, -1, -1)

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        shape = (rows, *map(int, self.slots[0].shape[1:]))
        x = torch.from_numpy(random.normal(size=shape).astype(np.float32))
        return (x,), x

    def own_facts(self) -> dict[str, Any]:
        return self.transform.facts()
