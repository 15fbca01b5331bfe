"""Tiny domains of series whose next steps are to be forecast: a wave and noise."""

from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.tasks.steps_column import StepsColumn

TRAIN, TEST, HORIZON, SEASON, LENGTH = 24, 11, 3, 4, 9


def waves(rows: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Series (N,) of float32 (T, 2), of which the second channel goes on for float64 (N, H)."""
    generator = np.random.default_rng(seed)
    series, steps = [], []
    for _ in range(rows):
        length = LENGTH + int(generator.integers(0, 3))
        at = np.arange(length + HORIZON) + generator.integers(0, SEASON)
        wave = 100 + 5 * np.sin(2 * np.pi * at / SEASON) + generator.normal(0, noise, len(at))
        other = generator.normal(0, 1, len(at))
        both = np.stack([other, wave], axis=1).astype(np.float32)
        series.append(both[:-HORIZON])
        steps.append(both[-HORIZON:, 1].astype(np.float64))
    return as_rows(series), np.stack(steps)


def write_waves(out: Path, seed: int, noise: float = 0.3) -> Path:
    """Write a dataset."""
    columns = {
        "series": SeriesColumn(channels=("other", "wave"), typical_steps=LENGTH),
        "steps": StepsColumn(horizon=HORIZON, channel="wave", season=SEASON),
    }
    splits = {}
    for number, (name, count) in enumerate({"train": TRAIN, "test": TEST}.items()):
        series, steps = waves(count, seed + 10 * number, noise)
        splits[name] = [Chunk({"series": series, "steps": steps}, np.arange(count))]
    write_dataset(out, columns, splits, {"kind": "test"}, shard_bytes=500)
    return out


def study_of_waves(folder: Path, **more: Any) -> dict[str, Any]:
    """A study of two such domains, as it is written in a file."""
    for name, seed, noise in (("source", 0, 0.3), ("target", 1, 0.6)):
        if not (folder / name).exists():
            write_waves(folder / name, seed, noise)
    return {
        "study": "waves",
        "source_domain": {"dataset": folder / "source"},
        "target_domain": {"dataset": folder / "target", "labels": 10},
        "source_models": {"net": {"backbone": "gru", "args": {"width": 6}}},
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 2, "batch_size": 6, "steps_per_epoch": 2},
    } | more
