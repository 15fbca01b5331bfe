"""Tiny domains of masks: a bright square on noise, of one of two classes."""

from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.mask_column import VOID, MaskColumn

SIDE, TRAIN, TEST = 12, 24, 11
CLASSES = ("ground", "first", "second")


def squares(rows: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, SIDE, SIDE, 1), and their masks; the last row of pixels is VOID."""
    generator = np.random.default_rng(seed)
    images = generator.normal(60, noise, (rows, SIDE, SIDE, 1))
    masks = np.zeros((rows, SIDE, SIDE), np.uint8)
    for row in range(rows):
        top, left, k = *generator.integers(1, 5, 2), 1 + row % 2
        masks[row, top : top + 5, left : left + 5] = k
        images[row, top : top + 5, left : left + 5] += 70 * k
    masks[:, -1] = VOID
    return images.clip(0, 255).astype(np.uint8), masks


def write_squares(
    out: Path, seed: int, noise: float = 10.0, rows: int = TRAIN, nulls: bool = False
) -> Path:
    """Write a dataset; with `nulls` every third training row has no mask."""
    columns = {
        "image": ImageColumn(shape=(SIDE, SIDE, 1), dtype="uint8"),
        "mask": MaskColumn(shape=(SIDE, SIDE), classes=CLASSES, nulls=nulls),
    }
    splits = {}
    for number, (name, count) in enumerate({"train": rows, "test": TEST}.items()):
        images, masks = squares(count, seed + 10 * number, noise)
        if nulls and name == "train":
            masks[::3] = VOID
        splits[name] = [Chunk({"image": images, "mask": masks}, np.arange(count))]
    write_dataset(out, columns, splits, {"kind": "test"}, shard_bytes=SIDE * SIDE * 10)
    return out


def study_of_squares(folder: Path, **more: Any) -> dict[str, Any]:
    """A study of two such domains, as it is written in a file."""
    for name, seed, noise in (("source", 0, 10.0), ("target", 1, 25.0)):
        if not (folder / name).exists():
            write_squares(folder / name, seed, noise)
    return {
        "study": "squares",
        "source_domain": {"dataset": folder / "source"},
        "target_domain": {"dataset": folder / "target", "labels": 10},
        "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 2, "batch_size": 6, "steps_per_epoch": 2},
    } | more
