"""Files of sounds: every width of sample, broken files, other rates, mixing."""

import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from raytl.errors import DataError
from raytl.modalities.audio.wav import as_floats, mixed, read_wav, resampled

RAMP = np.arange(-5, 5, dtype=np.int16) * 100


def written(folder: Path, samples: np.ndarray, rate: int = 8000) -> Path:
    wavfile.write(folder / "a.wav", rate, samples)
    return folder / "a.wav"


def test_sixteen_bits_stay_as_they_are(tmp_path: Path) -> None:
    samples, rate = read_wav(written(tmp_path, RAMP, 11025))
    assert rate == 11025 and samples.dtype == np.int16
    np.testing.assert_array_equal(samples, RAMP)


def test_eight_bits_become_sixteen(tmp_path: Path) -> None:
    samples, _ = read_wav(written(tmp_path, np.array([0, 128, 255], np.uint8)))
    assert samples.dtype == np.int16 and samples.tolist() == [-32768, 0, 32512]


def test_twenty_four_bits_become_floats(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 3, 8000, 0, "NONE", ""))
        file.writeframes(b"\x00\x00\x40" + b"\x00\x00\x80")
    samples, _ = read_wav(tmp_path / "a.wav")
    assert samples.dtype == np.float32 and samples.tolist() == [0.5, -1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_stay_as_they_are(tmp_path: Path, dtype: type) -> None:
    samples, _ = read_wav(written(tmp_path, np.array([0.25, -1.5], dtype)))
    assert samples.dtype == np.float32 and samples.tolist() == [0.25, -1.5]


def test_thirty_two_bits_become_floats(tmp_path: Path) -> None:
    samples, _ = read_wav(written(tmp_path, np.array([2**30, -(2**31)], np.int32)))
    assert samples.dtype == np.float32 and samples.tolist() == [0.5, -1.0]


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[100, 300], [-32768, -32768], [32767, 32767]], np.int16)
    samples, _ = read_wav(written(tmp_path, stereo))
    assert samples.dtype == np.int16 and samples.tolist() == [200, -32768, 32767]


@pytest.mark.parametrize("left", [44, 45, 50, 63])
def test_a_truncated_file_is_refused(tmp_path: Path, left: int) -> None:
    path = written(tmp_path, RAMP)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=r"a\.wav: is truncated"):
        read_wav(path)


@pytest.mark.parametrize("left", [20, 36, 40])
def test_a_file_that_ends_within_its_header_is_refused(tmp_path: Path, left: int) -> None:
    path = written(tmp_path, RAMP)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=r"a\.wav: is no \.wav file that can be read"):
        read_wav(path)


@pytest.mark.parametrize("chunk", [b"fmt ", b"data"])
def test_a_file_without_one_of_its_chunks_is_refused(tmp_path: Path, chunk: bytes) -> None:
    path = written(tmp_path, RAMP)
    path.write_bytes(path.read_bytes().replace(chunk, b"junk"))
    with pytest.raises(DataError, match=r"a\.wav: is no \.wav file that can be read"):
        read_wav(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"hello world, this is no sound at all", b"RIFF\x24\x00\x00\x00AVI fmt "],
)
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.wav: is no \.wav file that can be read"):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize("at", [16, 20, 22, 24, 28, 32])
def test_a_header_that_is_zero_somewhere_is_refused(tmp_path: Path, at: int) -> None:
    path = written(tmp_path, RAMP)
    content = path.read_bytes()
    path.write_bytes(content[:at] + b"\x00\x00" + content[at + 2 :])
    with pytest.raises(DataError, match=r"a\.wav"):
        read_wav(path)


def test_a_file_without_samples_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no sample"):
        read_wav(written(tmp_path, RAMP[:0]))
    with pytest.raises(DataError, match="No such file"):
        read_wav(tmp_path / "missing.wav")


def test_the_full_scale_of_both_types_is_one() -> None:
    assert as_floats(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]
    assert as_floats(np.array([0.5], np.float32)).tolist() == [0.5]


@pytest.mark.parametrize(("rate", "to"), [(8000, 16000), (16000, 8000), (44100, 16000)])
def test_a_tone_keeps_its_pitch_at_another_rate(rate: int, to: int) -> None:
    tone = (10000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    found = resampled(tone, rate, to)
    assert found.dtype == np.int16 and len(found) == to
    expected = 10000 * np.sin(2 * np.pi * 440 * np.arange(to) / to)
    assert np.abs(found - expected)[to // 20 : -to // 20].max() < 30


def test_what_would_alias_is_taken_out() -> None:
    tone = np.sin(2 * np.pi * 3900 * np.arange(8000) / 8000).astype(np.float32)
    assert np.abs(resampled(tone, 8000, 4000)[200:-200]).max() < 0.01


def test_loud_samples_are_kept_within_sixteen_bits() -> None:
    square = np.tile(np.repeat(np.array([32767, -32768], np.int16), 50), 20)
    found = resampled(square, 8000, 16000)  # overshoots
    assert found.max() == 32767 and found.min() == -32768
    assert (found[:80] > 20000).all(), "nothing wraps around"


def test_the_same_rate_changes_nothing() -> None:
    assert resampled(RAMP, 8000, 8000) is RAMP


def test_a_mixture_is_the_weighted_sum_and_silence_follows_the_shorter() -> None:
    own, partner = np.array([100, 200], np.int16), np.array([10, 20, 41], np.int16)
    assert mixed(own, partner, 0.75).tolist() == [78, 155, 10]
    assert mixed(own, partner, 0.75).dtype == np.int16
    floats = mixed(own.astype(np.float32), partner.astype(np.float32), 0.75)
    assert floats.tolist() == [77.5, 155, 10.25] and floats.dtype == np.float32
