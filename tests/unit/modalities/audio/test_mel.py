"""Mel bands and spectrograms: known answers."""

import numpy as np
import pytest
import torch

from raytl.errors import ModelError
from raytl.modalities.audio.mel import hertz_to_mel, log_mel, mel_filters, mel_to_hertz

RATE, N_FFT, WINDOW, HOP, BANDS = 8000, 512, 200, 80, 32
FILTERS = mel_filters(BANDS, N_FFT, RATE, 0.0, 4000.0)


def spectrogram(wave: np.ndarray) -> torch.Tensor:
    filters = torch.from_numpy(FILTERS.astype(np.float32))
    wave_L = torch.from_numpy(wave.astype(np.float32))
    return log_mel(wave_L, filters, n_fft=N_FFT, window=WINDOW, hop=HOP)


def tone(hertz: float, loudness: float = 0.5, samples: int = 4000) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)


def test_a_thousand_hertz_are_a_thousand_mels() -> None:
    assert hertz_to_mel(1000.0) == pytest.approx(1000.0, abs=0.02)
    assert hertz_to_mel(0.0) == 0.0
    assert hertz_to_mel(700.0) == pytest.approx(2595 * np.log10(2))
    assert mel_to_hertz(hertz_to_mel(1234.5)) == pytest.approx(1234.5)


def test_a_bank_of_two_bands_by_hand() -> None:
    # Corners at 0, 1/3, 2/3 and 3/3 of the mels of 4000 Hz: 0, 525.6, 1445.8 and 3057.1 … by
    # f = 700·((1 + 4000/700)^(i/3) - 1); frequencies 0, 1000, …, 4000 Hz.
    first, second, last = (700 * ((1 + 4000 / 700) ** (i / 3) - 1) for i in (1, 2, 3))
    found = mel_filters(2, 8, RATE, 0.0, 4000.0)
    expected = [
        [0, (second - 1000) / (second - first), 0, 0, 0],
        [0, (1000 - first) / (second - first), (last - 2000) / (last - second), 0, 0],
    ]
    expected[1][3] = (last - 3000) / (last - second)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bands_overlap_so_that_they_add_up_to_one() -> None:
    corners = mel_to_hertz(np.linspace(0, hertz_to_mel(4000.0), BANDS + 2))
    frequencies = np.fft.rfftfreq(N_FFT, 1 / RATE)
    inside = (frequencies >= corners[1]) & (frequencies <= corners[-2])
    np.testing.assert_allclose(FILTERS[:, inside].sum(0), 1.0)
    assert FILTERS[:, frequencies >= 4000.0].max() == pytest.approx(0.0, abs=1e-12)


def test_bands_equal_another_librarys() -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    theirs = audio_utils.mel_filter_bank(
        N_FFT // 2 + 1, 40, 100.0, 3800.0, RATE, norm=None, mel_scale="htk"
    )
    np.testing.assert_allclose(mel_filters(40, N_FFT, RATE, 100.0, 3800.0), theirs.T, atol=1e-9)


def test_a_band_without_a_frequency_is_refused() -> None:
    with pytest.raises(ModelError, match="band 0 of 128, from 0 to .* n_fft=256 at 8000 Hz"):
        mel_filters(128, 256, RATE, 0.0, 4000.0)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 2500.0])
def test_a_tone_is_loudest_in_the_band_around_it(hertz: float) -> None:
    loudest = spectrogram(tone(hertz))[:, 10:-10].argmax(0)
    middles = mel_to_hertz(np.linspace(0, hertz_to_mel(4000.0), BANDS + 2))[1:-1]
    assert set(loudest.tolist()) == {int(np.abs(middles - hertz).argmin())}


def test_the_energy_of_a_tone_is_that_of_its_line() -> None:
    # A line at frequency k of a sine of height a under Hann's window: (a·Σw/2)² = (a·100/2)², and
    # Parseval's sum over all K frequencies: n_fft·Σ(w·x)²/2.
    power = torch.stft(
        torch.from_numpy(tone(1000.0)).float(), N_FFT, HOP, WINDOW, torch.hann_window(WINDOW),
        pad_mode="constant", return_complex=True,
    ).abs().square()  # fmt: skip
    assert float(power[64, 20]) == pytest.approx((0.5 * WINDOW / 2 / 2) ** 2, rel=1e-3)
    total = spectrogram(tone(1000.0))[:, 20].exp().sum()
    assert float(total) == pytest.approx(float(power[:, 20].sum()), rel=1e-3)


def test_twice_as_loud_is_two_logarithms_of_two_more() -> None:
    difference = spectrogram(tone(1000.0, 0.5)) - spectrogram(tone(1000.0, 0.25))
    around = FILTERS[:, 64].argmax()
    assert difference[around, 20].item() == pytest.approx(2 * np.log(2), rel=1e-4)


def test_silence_is_the_floor() -> None:
    torch.testing.assert_close(spectrogram(np.zeros(400)), torch.full((BANDS, 6), np.log(1e-6)),
                               check_dtype=False)  # fmt: skip


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (79, 1), (80, 2), (4000, 51)])
def test_frames_stand_a_hop_apart(samples: int, frames: int) -> None:
    assert spectrogram(np.ones(samples)).shape == (BANDS, frames)


def test_a_click_is_in_the_frames_around_it() -> None:
    click = np.zeros(1600)
    click[800] = 1.0  # frame 10's middle; frames reach 100 samples to both sides
    heard = (spectrogram(click)[BANDS // 2] > -10).nonzero().flatten().tolist()
    assert heard == [9, 10, 11]
