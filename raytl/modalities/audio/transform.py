"""From stored sounds to what an image network reads.

Legend: B rows, L samples, M mel bands, T frames, C channels, H height, W width.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from raytl.config import Frozen
from raytl.config.base import Finite, NonNegative, Positive
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.mel import log_mel, mel_filters
from raytl.modalities.audio.wav import as_floats, resampled
from raytl.modalities.base import Transform
from raytl.modalities.column import Column, Values
from raytl.modalities.options import facts_of

Shape = tuple[PositiveInt, PositiveInt, PositiveInt]
Centre = Literal["energy", "clip"]


class Spectrogram(Frozen):
    """How sounds become spectrograms. Lengths are in samples at `rate`."""

    rate: PositiveInt  # samples a second
    n_mels: PositiveInt
    n_fft: Annotated[int, Field(ge=2)]  # of the Fourier transform; zeros follow the window
    window: PositiveInt
    hop: PositiveInt  # from frame to frame
    f_min: NonNegative  # Hz
    f_max: Positive  # Hz
    samples: PositiveInt  # of all sounds, once they are cut or padded
    # What of a sound stands in the middle: where its energy is, or the middle of its recording, as
    # in folders of before there was a choice
    centre: Centre = "clip"

    @property
    def frames(self) -> int:
        """How many frames a spectrogram has, T."""
        return 1 + self.samples // self.hop

    @model_validator(mode="after")
    def _holds_together(self) -> "Spectrogram":
        if self.window > self.n_fft:
            raise ValueError(
                f"window <= n_fft must hold, got {self.window} > {self.n_fft} samples; raise n_fft"
            )
        if not self.f_min < self.f_max <= self.rate / 2:
            raise ValueError(
                f"f_min < f_max <= rate / 2 must hold, got {self.f_min:g}, {self.f_max:g} and "
                f"{self.rate / 2:g} Hz"
            )
        return self


class AudioFacts(Frozen):
    """What a fitted transform is made of."""

    spectrogram: Spectrogram
    mean: Finite  # of the training rows' log-mel energies
    std: Positive
    input_shape: Shape  # (C, H, W) of the image network
    per_row: bool = False  # mean and std are each sound's own, those above 0 and 1


class AudioTransform(Transform):
    """Log-mel spectrograms as images: bands from low to high are rows of pixels, frames columns.

    Sounds have one length around their centre: where a sound ends before that, frames of the mean,
    which are zeros, stand in for it; what lies beyond is cut. The centre is that of the sound's
    energy, as recordings begin and end with more or less silence, or with `centre: clip` the
    recording's. Scaled by one mean and deviation over all
    bands and frames (Gong et al. 2021, "AST", section 2.1, halves the result, we do not), an image
    has about the range that a network pretrained on normalised photographs knows. With `per_row`
    they are each sound's own, so that how loud it is recorded, which adds to all energies, is gone.
    """

    def __init__(self, facts: AudioFacts, reads_rate: int | None = None) -> None:
        """`reads_rate`: the rate of the rows, where it is another than the network's."""
        self._facts, self._reads_rate = facts, reads_rate or facts.spectrogram.rate
        self.input_shape = facts.input_shape
        self._to_log_mel = LogMel(facts.spectrogram)

    def for_column(self, column: Column) -> "AudioTransform":
        """Return the same transform for rows of another dataset's column, whose rate may differ."""
        assert isinstance(column, AudioColumn)
        return AudioTransform(self._facts, column.rate)

    def prepare(self, values: Values) -> Tensor:
        """Return float32 (B, M, T) of sounds (L,), int16 or float32."""
        mean, std, frames = self._facts.mean, self._facts.std, self._facts.spectrogram.frames
        found = []
        for sound in values:
            sound = resampled(sound, self._reads_rate, self._facts.spectrogram.rate)
            x_MT, before = self._to_log_mel(sound)
            if self._facts.per_row:
                mean, std = mean_and_std([x_MT])
            x_MT = (x_MT - mean) / std
            found.append(F.pad(x_MT, (before, frames - before - x_MT.shape[1])))
        return torch.stack(found)

    def __call__(self, rows: Tensor) -> Tensor:  # type: ignore[override]
        """Return float32 x_BCHW of the input shape, its channels alike, of prepared x_BMT."""
        channels, height, width = self.input_shape
        x = rows.float().unsqueeze(1)
        if x.shape[2:] != (height, width):
            x = F.interpolate(
                x, (height, width), mode="bilinear", antialias=True, align_corners=False
            )
        return x.expand(-1, channels, -1, -1)

    def facts(self) -> dict[str, Any]:
        return self._facts.model_dump(mode="json")

    def example(self, rows: int) -> Tensor:
        spectrogram = self._facts.spectrogram
        return torch.zeros(rows, spectrogram.n_mels, spectrogram.frames)


class LogMel:
    """From one sound at the spectrogram's rate to its log-mel energies, not yet scaled."""

    def __init__(self, spectrogram: Spectrogram) -> None:
        """Raises ModelError where mel bands are too narrow for the Fourier transform."""
        s = self._spectrogram = spectrogram
        filters_MK = mel_filters(s.n_mels, s.n_fft, s.rate, s.f_min, s.f_max)
        self._filters_MK = torch.from_numpy(filters_MK.astype(np.float32))

    def __call__(self, sound: np.ndarray) -> tuple[Tensor, int]:
        """Return float32 (M, T') of what a sound has around its centre, T' <= T, and how many
        frames are missing before these."""
        s = self._spectrogram
        # In whole frames: they stay the recording's own, wherever they stand.
        off = round(_energy_behind_middle(sound) / s.hop) if s.centre == "energy" else 0
        start = (len(sound) - s.samples) // 2 + off * s.hop
        wave_L = torch.from_numpy(as_floats(sound[max(start, 0) : start + s.samples]))
        x_MT = log_mel(wave_L, self._filters_MK, n_fft=s.n_fft, window=s.window, hop=s.hop)
        missing = s.frames - x_MT.shape[1]
        return x_MT, min(max(missing // 2 - off, 0), missing)


def _energy_behind_middle(sound: np.ndarray) -> float:
    """Return by how many samples a sound's centre of energy lies behind its middle: Σ t·x² / Σ x²
    of what is around the mean, 0 for silence."""
    wave_L = as_floats(sound).astype(np.float64)
    energy_L = (wave_L - wave_L.mean()) ** 2
    from_middle_L = np.arange(len(sound)) - (len(sound) - 1) / 2
    total = float(energy_L.sum())
    return float(from_middle_L @ energy_L) / total if total > 0 else 0.0


def mean_and_std(spectrograms: Sequence[Tensor]) -> tuple[float, float]:
    """Return the mean and deviation of all energies; a deviation of 1 where all are equal."""
    count = sum(x.numel() for x in spectrograms)
    mean = sum(float(x.sum(dtype=torch.float64)) for x in spectrograms) / count
    square = sum(float((x.double() - mean).square().sum()) for x in spectrograms) / count
    return mean, square**0.5 if square > 1e-12 else 1.0


def audio_transform(facts: Mapping[str, Any]) -> AudioTransform:
    """Return the transform of these facts; raises ValueError where they are none."""
    return AudioTransform(facts_of(AudioFacts, facts))
