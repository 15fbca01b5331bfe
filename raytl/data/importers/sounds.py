"""Sounds of any number of rates to a column of one.

Legend: N rows.
"""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from raytl.data.importers.base import ShardOptions, chunked
from raytl.data.importers.decoding import threads_for
from raytl.data.importers.encoded import Encoded, content_of, is_far, name_of
from raytl.data.importers.inputs import (
    Bad,
    Digest,
    Input,
    Items,
    Later,
    Reading,
    picked,
    seal_files,
)
from raytl.data.stored import Each
from raytl.errors import DataError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.wav import Sound, as_floats, read_within, reading_wavs, resampled
from raytl.modalities.ragged import as_rows

EXTENSIONS = frozenset([".wav", ".wave"])


class Seen(NamedTuple):
    """What a sound is; `samples`: how many."""

    rate: int
    samples: int
    dtype: str


Look = Seen | Bad


def sound_input(sounds: Sequence[Encoded] | Later, options: ShardOptions, each: Each) -> Input:
    """Return sounds at `--rate`, or at the rate that most have; the others are resampled.

    Every file is read once to look, by whom `each` names, and again to be written, so that what is
    broken is known before anything is: a DataError, unless `--skip-bad` leaves it out.
    """
    every = np.arange(len(sounds))
    parts = (picked(sounds, part) for part in chunked(every))
    seen = [look for part in each(looks, parts) for look in part]
    return sounds_seen(seen, sounds, options, seal_files)


def sounds_seen(
    seen: Sequence[Look], items: Items, options: ShardOptions, seal: Callable[[Items, Digest], None]
) -> Input:
    """Return sounds of which one knows what they are; raises as `sound_input`."""
    fine = [look for look in seen if not isinstance(look, Bad)]
    if len(fine) < len(seen) and not options.skip_bad:
        bad = next(look for look in seen if isinstance(look, Bad))
        raise DataError(f"{bad.message}; mend or remove it, or give --skip-bad")
    if not fine:
        raise DataError(f"none of {len(seen)} sounds can be read; give .wav files")
    rates = Counter(look.rate for look in fine)
    rate = options.rate or rates.most_common(1)[0][0]
    dtype: Literal["int16", "float32"] = (
        "int16" if all(look.dtype == "int16" for look in fine) else "float32"
    )
    typical = sum(look.samples * rate // look.rate for look in fine) // len(fine)
    column = AudioColumn(rate=rate, dtype=dtype, typical_samples=max(1, typical))
    return Input(column, items, sound_reading(column, seal), _notes(rates, rate, options))


def sound_reading(column: AudioColumn, seal: Callable[[Items, Digest], None]) -> Reading:
    """Return how encoded sounds are read for a column."""
    return Reading(as_rows, seal, partial(_sounds, rate=column.rate, dtype=column.dtype))


def _notes(rates: Counter[int], rate: int, options: ShardOptions) -> list[str]:
    others = sum(count for of, count in rates.items() if of != rate)
    if not others:
        return []
    found = ", ".join(f"{of} ({count})" for of, count in rates.most_common(4))
    how = "as --rate says" if options.rate else "the rate of most; --rate says another"
    return [f"{others} sounds of another rate are resampled to {rate} a second, {how}: {found}"]


def looks(sounds: Sequence[Encoded] | Later) -> list[Look]:
    """Return what each sound is, or what is wrong with it."""
    files: Sequence[Encoded] = sounds.load() if isinstance(sounds, Later) else sounds
    with ThreadPoolExecutor(threads_for(files)) as pool, reading_wavs():
        return list(pool.map(_look, files))


def _look(sound: Encoded) -> Look:
    try:
        found = _read(sound)
    except DataError as error:
        return Bad(str(error))
    return Seen(found.rate, len(found.samples), found.samples.dtype.name)


def _sounds(sounds: Sequence[Encoded], rate: int, dtype: str) -> list[np.ndarray | Bad]:
    if not any(map(is_far, sounds)):
        with reading_wavs():
            return [_sound(sound, rate, dtype) for sound in sounds]
    with ThreadPoolExecutor(threads_for(sounds)) as pool, reading_wavs():
        return list(pool.map(lambda sound: _sound(sound, rate, dtype), sounds))


def _sound(sound: Encoded, rate: int, dtype: str) -> np.ndarray | Bad:
    try:
        found = _read(sound)
    except DataError as error:
        return Bad(str(error))
    samples = resampled(found.samples, found.rate, rate)
    return as_floats(samples) if dtype == "float32" else samples


def _read(sound: Encoded) -> Sound:
    content, name = content_of(sound), name_of(sound)
    found = read_within(content) if isinstance(content, Path) else _read_bytes(name, content)
    if found.rate < 1:
        raise DataError(f"{name}: its rate is {found.rate} samples a second")
    if found.samples.dtype == np.float32 and not np.isfinite(found.samples).all():
        raise DataError(f"{name}: samples must be finite, but one is not")
    return found


def _read_bytes(name: str, content: bytes) -> Sound:
    file = io.BytesIO(content)
    try:
        return read_within(file)  # type: ignore[arg-type]  # scipy reads open files as well
    except DataError as error:
        raise DataError(str(error).replace(str(file), name)) from None
