"""The spectrogram that fits a column of sounds, by options and by its training rows."""

import numpy as np
from pydantic import PositiveInt

from raytl.config import Frozen
from raytl.config.base import NonNegative, Positive
from raytl.modalities.audio.transform import Centre, LogMel, Spectrogram, mean_and_std
from raytl.modalities.options import options_of

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010  # as is usual for speech
COVERED = 95  # percent of training rows that are not longer, unless `seconds` says otherwise


class AudioOptions(Frozen):
    """`transform:` of a source model for sounds. Lengths in samples are at the dataset's rate."""

    n_mels: PositiveInt = 64
    n_fft: PositiveInt | None = None  # None: the least power of two that is twice the window
    window: PositiveInt | None = None  # in samples; None: 25 ms
    hop: PositiveInt | None = None  # in samples; None: 10 ms
    f_min: NonNegative = 0.0  # Hz
    f_max: Positive | None = None  # Hz; None: half the rate
    seconds: Positive | None = None  # of all sounds; None: what 95 % of them do not exceed
    centre: Centre = "energy"  # which stands in the middle; clip: the middle of the recording
    # Each sound scaled by its own mean and deviation, not the data's: as loud as the others
    per_row: bool = False


def fitted_spectrogram(options: AudioOptions, rate: int, sounds: np.ndarray) -> Spectrogram:
    """Return how sounds at `rate` become spectrograms of one size. Raises ModelError where options
    contradict each other or the rate."""
    window = options.window or max(round(WINDOW_SECONDS * rate), 1)
    lengths = [len(sound) for sound in sounds]
    samples = round(options.seconds * rate) if options.seconds else np.percentile(lengths, COVERED)
    given = {
        "rate": rate,
        "n_mels": options.n_mels,
        "n_fft": options.n_fft or 1 << (2 * window - 1).bit_length(),
        "window": window,
        "hop": options.hop or max(round(HOP_SECONDS * rate), 1),
        "f_min": options.f_min,
        "f_max": options.f_max or rate / 2,
        "samples": max(int(samples), 1),
        "centre": options.centre,
    }
    return options_of(Spectrogram, given, "transform")


def fitted_scale(spectrogram: Spectrogram, sounds: np.ndarray) -> tuple[float, float]:
    """Return the mean and deviation of the sounds' own log-mel energies."""
    to_log_mel = LogMel(spectrogram)
    return mean_and_std([to_log_mel(sound)[0] for sound in sounds])
