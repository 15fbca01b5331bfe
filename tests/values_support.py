"""Small datasets whose target is a value, or has rows without a label."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raytl.config import Study
from raytl.data.group_column import GroupColumn
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn, ValueColumn

IMAGE = ImageColumn(shape=(8, 8, 1), dtype="uint8")
CLASSES = ("dark", "bright")


def brightness(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images of one brightness each, 8 × 8, and that brightness in [0, 1]."""
    generator = np.random.default_rng(seed)
    level_N = generator.uniform(size=rows)
    noisy = 40 + 160 * level_N[:, None, None] + generator.normal(0, 20, (rows, 8, 8))
    return noisy.clip(0, 255).astype(np.uint8)[..., None], level_N


def write_targets(
    out: Path,
    target: Column,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    groups: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write images and the targets `target` of each split; with `groups`, whose each row is."""
    columns: dict[str, Column] = {"image": IMAGE, "target": target}
    if groups is not None:
        columns["who"] = GroupColumn(groups=1 + max(int(of.max()) for of in groups.values()))
    chunks = {}
    for name, (images, targets) in splits.items():
        values: dict[str, Any] = {"image": images, "target": targets}
        if groups is not None:
            values["who"] = groups[name]
        chunks[name] = [Chunk(values, np.arange(len(targets)))]
    write_dataset(out, columns, chunks, {})
    return out


def write_values(out: Path, seed: int, *, rows: int = 80, nulls: bool = False) -> Path:
    """Write values from 1000 to 1050; with `nulls` every third training row and every second test
    row has none."""
    splits = {}
    for number, (name, count, every) in enumerate((("train", rows, 3), ("test", rows // 2, 2))):
        images, level_N = brightness(count, 10 * seed + number)
        value_N = 1000 + 50 * level_N
        if nulls:
            value_N[::every] = np.nan
        splits[name] = (images, value_N)
    return write_targets(out, ValueColumn(nulls=nulls), splits)


def write_classes(
    out: Path, seed: int, *, share: float = 0.5, rows: int = 80, nulls: tuple[str, ...] = ()
) -> Path:
    """Write two classes, `share` of the rows bright; no row of the splits `nulls` has a label."""
    splits = {}
    for number, (name, count) in enumerate((("train", rows), ("test", rows // 2))):
        images, level_N = brightness(count, 10 * seed + number)
        label_N = (level_N >= np.quantile(level_N, 1 - share)).astype(np.int64)
        splits[name] = (images, np.full(count, -1) if name in nulls else label_N)
    return write_targets(out, LabelColumn(classes=CLASSES, nulls=bool(nulls)), splits)


def study_of(source: Path | None, target: Path, **more: Any) -> Study:
    """Return a study of a few seconds; keyword arguments replace its keys."""
    plain = {
        "study": "values",
        "source_domain": source and {"dataset": source},
        "target_domain": {"dataset": target, "labels": "all"},
        "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
        "space": {"recipe": {"choice": ["finetune", "dann"]}},
        "search": {"sampler": "grid", "trials": 2, "scheduler": "none", "control_tries": 1},
        "train": {"epochs": 2, "batch_size": 8, "steps_per_epoch": 4},
        "confirm": {"top": 1, "seeds": 3},
    }
    return Study.model_validate(plain | more)
