"""Tones made on the spot: does the pitch rise, fall, stay or tremble? SOURCE is the instrument,
`flute` or `reed`.

Legend: N rows, L samples of one row.
"""

from dataclasses import dataclass

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.on_the_spot import OfSplit, balanced_labels, domain_of, in_memory
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.ragged import as_rows
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

DEFAULT_ROWS = 1200
TEST_SHARE = 0.4
RATE = 8000  # samples a second
SECONDS = (0.35, 0.6)  # of a tone
CLASSES = ("rising", "falling", "steady", "trembling")


@dataclass(frozen=True)
class Instrument:
    """`harmonics`: strength of each multiple of the pitch. `pitch`: lowest and highest, in Hz.
    `attack`: seconds until it is loud. `noise`: its strength, where the tone has 1."""

    harmonics: tuple[float, ...]
    pitch: tuple[float, float]
    attack: float
    noise: float


INSTRUMENTS = {
    "flute": Instrument((1.0, 0.3, 0.1), (400.0, 900.0), attack=0.08, noise=0.05),
    "reed": Instrument(
        (1.0, 0.1, 0.8, 0.1, 0.6, 0.1, 0.4, 0.1, 0.3), (150.0, 350.0), attack=0.02, noise=0.25
    ),
}


def read_tones(source: str | None, options: ShardOptions) -> Imported:
    """Make `--rows` tones in all, by seed, each of another length, pitch and loudness."""
    name = domain_of("tones", source, list(INSTRUMENTS))
    rows = options.rows or DEFAULT_ROWS
    columns = {
        "sound": AudioColumn(rate=RATE, typical_samples=RATE // 2),
        "label": LabelColumn(classes=CLASSES),
    }
    held = round(rows * TEST_SHARE)
    counts = {"train": rows - held, "test": held}
    splits = {
        split: _made(INSTRUMENTS[name], count, seed_for(options.seed, "tones", name, split))
        for split, count in counts.items()
    }
    return in_memory(columns, splits)


def _made(instrument: Instrument, rows: int, seed: int) -> OfSplit:
    generator = np.random.default_rng(seed)
    labels = balanced_labels(rows, len(CLASSES), generator)
    made = (_tone(CLASSES[label], instrument, generator) for label in labels)
    return {"sound": as_rows(made), "label": labels}


def _tone(name: str, instrument: Instrument, generator: np.random.Generator) -> np.ndarray:
    """Return one tone, int16 (L,)."""
    seconds = generator.uniform(*SECONDS)
    times_L = np.arange(int(seconds * RATE)) / RATE
    pitch_L = np.exp2(_octaves(name, times_L / seconds, seconds, generator))
    phase_L = 2 * np.pi * np.cumsum(generator.uniform(*instrument.pitch) * pitch_L) / RATE
    wave_L = np.zeros(len(times_L))
    for number, strength in enumerate(instrument.harmonics, 1):
        wave_L += strength * generator.uniform(0.7, 1.3) * np.sin(number * phase_L)
    wave_L *= np.minimum(1, times_L / instrument.attack)
    wave_L *= np.minimum(1, (seconds - times_L) / 0.05)
    wave_L /= np.sqrt(np.mean(wave_L**2))
    wave_L += generator.normal(0, instrument.noise, size=len(wave_L))
    loud_L = wave_L * 2000 * generator.uniform(0.5, 2.0)
    return loud_L.round().clip(-32768, 32767).astype(np.int16)


def _octaves(
    name: str, share_L: np.ndarray, seconds: float, generator: np.random.Generator
) -> np.ndarray:
    """Return how far the pitch is from where it starts, in octaves; `share_L`: of the tone that is
    over, 0 to 1."""
    if name == "steady":
        return np.zeros(len(share_L))
    if name == "trembling":
        cycles = generator.uniform(5, 8) * seconds  # 5 to 8 a second
        start = generator.uniform(0, 2 * np.pi)
        return generator.uniform(0.06, 0.15) * np.sin(start + 2 * np.pi * cycles * share_L)
    slide = generator.uniform(0.25, 0.7) * share_L
    return slide if name == "rising" else -slide
