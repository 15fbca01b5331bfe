"""Tiny domains of boxes: bright squares and bars on noise, of two classes."""

from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.tasks.box_column import EMPTY, BoxColumn

SIDE, TRAIN, TEST = 16, 24, 11
CLASSES = ("square", "bar")
SIZES = ((6, 6), (10, 3))  # (width, height) of each class


def scenes(rows: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, SIDE, SIDE, 1), and boxes, one or two a row; every sixth row has none."""
    generator = np.random.default_rng(seed)
    images = generator.normal(60, noise, (rows, SIDE, SIDE, 1))
    boxes = []
    for row in range(rows):
        found = []
        for number in range(0 if row % 6 == 5 else 1 + row % 2):
            k = (row + number) % 2
            width, height = SIZES[k]
            left, top = (int(generator.integers(0, SIDE - side + 1)) for side in (width, height))
            images[row, top : top + height, left : left + width] += 70 + 60 * k
            found.append([left, top, left + width, top + height, k])
        boxes.append(np.array(found, np.float32).reshape(-1, 5))
    return images.clip(0, 255).astype(np.uint8), as_rows(boxes)


def write_scenes(
    out: Path,
    seed: int,
    noise: float = 10.0,
    rows: int = TRAIN,
    nulls: bool = False,
    empty: bool = False,
    **column: Any,
) -> Path:
    """Write a dataset; with `nulls` every third training row is not labelled, if `empty` none has a
    box. `column`: what the column of boxes has otherwise."""
    columns = {
        "image": ImageColumn(shape=(SIDE, SIDE, 1), dtype="uint8"),
        "boxes": BoxColumn(**{"shape": (SIDE, SIDE), "classes": CLASSES} | column, nulls=nulls),
    }
    splits = {}
    for number, (name, count) in enumerate({"train": rows, "test": TEST}.items()):
        images, boxes = scenes(count, seed + 10 * number, noise)
        if nulls and name == "train":
            boxes[::3] = None
        if empty and name == "train":
            boxes = as_rows([EMPTY] * count)
        splits[name] = [Chunk({"image": images, "boxes": boxes}, np.arange(count))]
    write_dataset(out, columns, splits, {"kind": "test"}, shard_bytes=SIDE * SIDE * 10)
    return out


def study_of_scenes(folder: Path, **more: Any) -> dict[str, Any]:
    """A study of two such domains, as it is written in a file."""
    for name, seed, noise in (("source", 0, 10.0), ("target", 1, 25.0)):
        if not (folder / name).exists():
            write_scenes(folder / name, seed, noise)
    return {
        "study": "scenes",
        "source_domain": {"dataset": folder / "source"},
        "target_domain": {"dataset": folder / "target", "labels": 12},
        "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 2, "batch_size": 6, "steps_per_epoch": 2},
    } | more
