"""Sounds out of .wav files, and at another rate.

Legend: L samples, C channels.
"""

import contextlib
import math
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raytl.errors import DataError

FULL_SCALE = 32768  # of int16
# What scipy raises for bytes that are not what they should be; the last where chunks are missing
BROKEN = (
    ValueError, struct.error, ZeroDivisionError, EOFError, MemoryError, OverflowError,
    UnboundLocalError,
)  # fmt: skip


class Sound(NamedTuple):
    """Samples (L,), int16 or float32 (full scale is ±1), and their rate in samples a second."""

    samples: np.ndarray
    rate: int


@contextlib.contextmanager
def reading_wavs() -> Iterator[None]:
    """Let truncated .wav files raise meanwhile, as `read_within` needs it. The filters of warnings
    are the process's own: it is entered once around threads, in none of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chunks that hold no samples
        warnings.filterwarnings("error", message="Reached EOF|Incomplete")
        yield


def read_wav(path: Path | str) -> Sound:
    """Read a .wav file of PCM (8, 16, 24 or 32 bits) or floats, its channels averaged. 8 and 16
    bits become int16, the rest float32. Threads take `read_within`.

    Raises DataError for a file that is none of these, is truncated, or holds no sample.
    """
    with reading_wavs():
        return read_within(path)


def read_within(path: Path | str) -> Sound:
    """Read a .wav file as `read_wav`, within `reading_wavs`."""
    from scipy.io import wavfile  # half a second, in processes that read no .wav file

    try:
        rate, samples_LC = wavfile.read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Warning:
        raise DataError(
            f"{path}: is truncated: it ends before its header says; copy it again"
        ) from None
    except BROKEN as error:
        raise DataError(f"{path}: is no .wav file that can be read: {_reason(error)}") from None
    if not len(samples_LC):
        raise DataError(f"{path}: holds no sample; drop the file")
    return Sound(_one_channel(_scaled(samples_LC)), int(rate))


def _reason(error: Exception) -> str:
    if isinstance(error, struct.error | ZeroDivisionError | UnboundLocalError):
        return "its header is broken, or it ends there"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Return samples as int16 or float32; int32 holds 24 bits, too, in its upper ones."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.int16) - 128) * 256
    if samples.dtype == np.int16:
        return samples
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32)


def _one_channel(samples: np.ndarray) -> np.ndarray:
    return samples if samples.ndim == 1 else _like(samples.mean(1, dtype=np.float64), samples)


def _like(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return values in the type of `samples`, rounded and kept within it."""
    if samples.dtype == np.int16:
        values = values.round().clip(-FULL_SCALE, FULL_SCALE - 1)
    return values.astype(samples.dtype)


def as_floats(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32, full scale ±1."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / FULL_SCALE
    return samples.astype(np.float32, copy=False)


def retyped(samples: np.ndarray, dtype: str) -> np.ndarray:
    """Return samples as int16 or float32; what is louder than full scale is kept within int16."""
    if samples.dtype == np.dtype(dtype):
        return samples
    floats = as_floats(samples)
    return floats if dtype == "float32" else _like(floats * FULL_SCALE, np.empty(0, np.int16))


def resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Return samples (L,) of `rate` at the rate `to`, (⌈L·to/rate⌉,), in their own type: the
    polyphase filter of scipy.signal.resample_poly, which lets nothing pass that would alias."""
    if rate == to:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    return _like(resample_poly(samples.astype(np.float64), to // common, rate // common), samples)


def mixed(own: np.ndarray, partner: np.ndarray, share: float) -> np.ndarray:
    """Return share·own + (1 - share)·partner, in the type of `own`; silence follows the shorter."""
    total = np.zeros(max(len(own), len(partner)))
    total[: len(own)] += share * own
    total[: len(partner)] += (1 - share) * partner
    return _like(total, own)
