"""Log-mel spectrograms.

Legend: L samples, M mel bands, K frequencies of the Fourier transform, T frames.
"""

import numpy as np
import torch
from torch import Tensor

from raytl.errors import ModelError

# Added to a band's energy before the logarithm: 95 dB or so below a sine of full scale, and above
# the noise of rounding to 16 bits, so that digital silence is no outlier.
FLOOR = 1e-6


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray:
    """Return mels of HTK's scale: 2595·log10(1 + f/700) (The HTK Book 3.4, section 5.4)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0)


def mel_to_hertz(mel: np.ndarray | float) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    return 700.0 * (10.0 ** (np.asarray(mel, dtype=np.float64) / 2595.0) - 1.0)


def mel_filters(bands: int, n_fft: int, rate: int, f_min: float, f_max: float) -> np.ndarray:
    """Return the weight of each frequency in each band, float64 (M, K), K = n_fft/2 + 1: triangles
    of height 1 whose corners lie at equal distances in mel from f_min to f_max, in Hz, each band's
    middle at its neighbours' corners. Sides are straight in Hz, as torchaudio's and librosa's are
    (`mel_scale="htk"`, no norm); those of HTK itself are in mel.

    Raises ModelError where a band is so narrow that no frequency lies in it.
    """
    corners = mel_to_hertz(np.linspace(hertz_to_mel(f_min), hertz_to_mel(f_max), bands + 2))
    frequencies = np.fft.rfftfreq(n_fft, 1.0 / rate)
    low, middle, high = (corners[i : bands + i, None] for i in range(3))
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    weights_MK = np.minimum(rising, falling).clip(min=0.0)
    empty = np.flatnonzero(weights_MK.sum(1) == 0)
    if len(empty):
        band = int(empty[0])
        raise ModelError(
            f"each mel band must hold a frequency, but band {band} of {bands}, from "
            f"{corners[band]:.0f} to {corners[band + 2]:.0f} Hz, has none of n_fft={n_fft} at "
            f"{rate} Hz; lower n_mels or raise n_fft"
        )
    return weights_MK


def log_mel(wave_L: Tensor, filters_MK: Tensor, *, n_fft: int, window: int, hop: int) -> Tensor:
    """Return ln(energy + 1e-6) of each band and frame, float32 (M, T), T = 1 + ⌊L/hop⌋, of float32
    samples: frames of `window` samples under Hann's window, `hop` apart, the first and the last one
    around the sound's ends, which silence surrounds."""
    spectrum_KT = torch.stft(
        wave_L, n_fft, hop, window, torch.hann_window(window),
        center=True, pad_mode="constant", return_complex=True,
    )  # fmt: skip
    power_KT = spectrum_KT.real.square() + spectrum_KT.imag.square()
    return (filters_MK @ power_KT + FLOOR).log()
