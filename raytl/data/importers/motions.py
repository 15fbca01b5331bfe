"""Motions made on the spot, as a phone's three accelerometers might feel them. SOURCE is `clean` or
`noisy`: a good sensor, or a cheap one that is noisy, drifts and samples half as often.

Legend: N rows, T steps of one row, three channels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.on_the_spot import OfSplit, balanced_labels, domain_of, in_memory
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

DEFAULT_ROWS = 1000
TEST_SHARE = 0.4
SECONDS = (1.2, 2.4)  # of a motion


@dataclass(frozen=True)
class Sensor:
    """`rate` in steps a second; `noise`: standard deviation, where motions have about 1; `tilt`:
    the greatest angle at which it sits, in radians; `drift`: the greatest slope, a second."""

    rate: float
    noise: float
    tilt: float
    drift: float


SENSORS = {
    "clean": Sensor(rate=25.0, noise=0.1, tilt=0.6, drift=0.0),
    "noisy": Sensor(rate=12.0, noise=0.4, tilt=0.6, drift=0.3),
}

Phase = np.ndarray  # 2π times the cycles so far, (T,)
Axes = tuple[np.ndarray, np.ndarray, np.ndarray]  # sideways, forwards, upwards, each (T,)


def _walk(p: Phase) -> Axes:
    return 0.5 * np.sin(p / 2), 0.3 * np.sin(p), np.abs(np.sin(p / 2)) * 2 - 1


def _hop(p: Phase) -> Axes:
    return 0.1 * np.sin(p), 0.1 * np.cos(p), np.maximum(np.sin(p), 0.0) ** 4 * 2 - 0.5


def _circle(p: Phase) -> Axes:
    return np.cos(p), np.sin(p), 0.1 * np.sin(p)


def _eight(p: Phase) -> Axes:
    return np.cos(p), np.sin(2 * p), 0.1 * np.sin(p)


def _swing(p: Phase) -> Axes:
    return 0.1 * np.cos(p), np.sin(p), 0.4 * np.cos(2 * p)


def _shake(p: Phase) -> Axes:
    return np.sign(np.sin(3 * p)), 0.2 * np.sin(3 * p), 0.2 * np.cos(3 * p)


MOTIONS: dict[str, Callable[[Phase], Axes]] = {
    "walk": _walk,
    "hop": _hop,
    "circle": _circle,
    "eight": _eight,
    "swing": _swing,
    "shake": _shake,
}


def read_motions(source: str | None, options: ShardOptions) -> Imported:
    """Make `--rows` motions in all, by seed, each of another length, speed, strength and phase."""
    domain = domain_of("motions", source, list(SENSORS))
    rows = options.rows or DEFAULT_ROWS
    columns = {
        "motion": SeriesColumn(channels=("sideways", "forwards", "upwards"), typical_steps=64),
        "label": LabelColumn(classes=tuple(MOTIONS)),
    }
    held = round(rows * TEST_SHARE)
    counts = {"train": rows - held, "test": held}
    splits = {
        split: _made(SENSORS[domain], count, seed_for(options.seed, "motions", domain, split))
        for split, count in counts.items()
    }
    return in_memory(columns, splits)


def _made(sensor: Sensor, rows: int, seed: int) -> OfSplit:
    generator = np.random.default_rng(seed)
    labels = balanced_labels(rows, len(MOTIONS), generator)
    motions = list(MOTIONS.values())
    made = (_felt(motions[label], sensor, generator) for label in labels)
    return {"motion": as_rows(made), "label": labels}


def _felt(
    motion: Callable[[Phase], Axes], sensor: Sensor, generator: np.random.Generator
) -> np.ndarray:
    """Return what a sensor reports of one motion, float32 (T, 3)."""
    times = np.arange(0, generator.uniform(*SECONDS), 1 / sensor.rate)
    speed = generator.uniform(0.8, 1.6) * (1 + generator.uniform(-0.1, 0.1) * times)
    phase = generator.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(speed) / sensor.rate
    x_T3 = np.stack(motion(phase), axis=1) * generator.uniform(0.6, 1.4)
    x_T3 = x_T3 @ _rotation(*generator.uniform(-sensor.tilt, sensor.tilt, size=2))
    x_T3 += times[:, None] * generator.uniform(-sensor.drift, sensor.drift, size=3)
    return (x_T3 + generator.normal(0, sensor.noise, size=x_T3.shape)).astype(np.float32)


def _rotation(roll: float, turn: float) -> np.ndarray:
    """Return the matrix of a turn about the upward axis after a roll about the forward one."""
    (cr, sr), (ct, st) = (np.cos(roll), np.sin(roll)), (np.cos(turn), np.sin(turn))
    rolled = np.array([[cr, 0, -sr], [0, 1, 0], [sr, 0, cr]])
    return rolled @ np.array([[ct, st, 0], [-st, ct, 0], [0, 0, 1]])
