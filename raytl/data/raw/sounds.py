"""Sounds to predict: .wav files, or samples that a program has."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raytl.data.importers.inputs import Bad, Input, seal_files
from raytl.data.importers.sounds import EXTENSIONS, sound_reading
from raytl.data.raw.rows import raw_input
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.wav import FULL_SCALE, as_floats, resampled
from raytl.modalities.ragged import as_rows

__all__ = ["EXTENSIONS", "sound_rows"]

LOUDEST = 16.0  # floats: a recording may go a little over 1, samples of int16 as floats far over


def sound_rows(column: AudioColumn, items: Sequence[Any]) -> Input:
    """Return sounds for a column, at its rate: paths, (name, bytes), or (name, (samples, rate))
    with samples (L,), int16, or floats of full scale ±1."""
    read = sound_reading(column, seal_files).read

    def sounds(given: list[Any]) -> list[Any]:
        return [_sound(column, one) if _held(one) else read([one])[0] for one in given]

    return raw_input(column, items, as_rows, sounds)


def _held(item: Any) -> bool:
    return isinstance(item, tuple) and not isinstance(item[1], bytes)


def _sound(column: AudioColumn, item: tuple[str, Any]) -> np.ndarray | Bad:
    name, held = item
    if not isinstance(held, tuple) or len(held) != 2:
        return Bad(
            f"{name}: a sound is a path, bytes or (samples, rate), got {type(held).__name__}"
        )
    wave_L, rate = np.asarray(held[0]), held[1]
    if not isinstance(rate, int | np.integer) or rate < 1:
        return Bad(f"{name}: a rate is a whole number of samples a second, got {rate!r:.40}")
    if wave_L.ndim != 1 or not len(wave_L) or wave_L.dtype.kind not in "fi":
        return Bad(f"{name}: a sound is samples (L,), int16 or floats, got {wave_L.dtype} "
                   f"{wave_L.shape}")  # fmt: skip
    if wave_L.dtype != np.int16:
        wave_L = wave_L.astype(np.float32)
    if not np.isfinite(wave_L).all():
        return Bad(f"{name}: samples must be finite, but one is not")
    if wave_L.dtype == np.float32 and np.abs(wave_L).max() > LOUDEST:
        return Bad(f"{name}: floats have a full scale of ±1, got {np.abs(wave_L).max():g}; give "
                   f"int16, or divide by {FULL_SCALE}")  # fmt: skip
    found = resampled(wave_L, int(rate), column.rate)
    return as_floats(found) if column.dtype == "float32" else found
