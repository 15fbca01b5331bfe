"""Tiny datasets whose rows have several columns: an image, a text, a series, a table, a class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.text.column import TextColumn
from raytl.tasks.columns import LabelColumn
from raytl.training.building import TrialParts, build_trial
from raytl.training.material import Material
from raytl.training.trial import TrialRun, run_trial

CLASSES = ("rows", "columns")
WORDS = (("good", "fine", "nice"), ("bad", "poor", "sad"))  # of each class
FILLING = ("the", "film", "was", "a", "thing")
COLUMNS: dict[str, Column] = {
    "image": ImageColumn(shape=(8, 8, 1), dtype="uint8"),
    "text": TextColumn(),
    "series": SeriesColumn(channels=("x", "y")),
    "table": TableColumn(fields=(Field(name="a", kind="number"), Field(name="b", kind="number"))),
    "label": LabelColumn(classes=CLASSES),
}
BILSTM = {"backbone": "bilstm", "args": {"dim": 6, "hidden": 4, "layers": 2}}
CNN = {"backbone": "small_cnn", "args": {"width": 4}}
GRU = {"backbone": "gru", "args": {"width": 4}}


def values_of(kind: str, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return rows of a kind that tell their class, with noise; texts and series of 1 to 7 steps."""
    generator = np.random.default_rng([seed, *kind.encode()])
    made: list[Any] = [ROWS[kind](int(label), generator) for label in labels]
    if kind in ("image", "table"):
        return np.stack(made)
    out = np.empty(len(made), dtype=object)
    for row, value in enumerate(made):
        out[row] = value
    return out


def _image(label: int, generator: np.random.Generator) -> np.ndarray:
    base = np.zeros((8, 8, 1))
    base[(slice(None, None, 2),) if label == 0 else (slice(None), slice(None, None, 2))] = 200
    return (base + generator.normal(0, 30, base.shape)).clip(0, 255).astype(np.uint8)


def _text(label: int, generator: np.random.Generator) -> str:
    filling = generator.choice(FILLING, generator.integers(0, 7)).tolist()
    return " ".join([*filling, generator.choice(WORDS[label])])


def _series(label: int, generator: np.random.Generator) -> np.ndarray:
    steps = generator.integers(1, 8)
    return generator.normal((2 * label, 0), 1, (steps, 2)).astype(np.float32)


def _table(label: int, generator: np.random.Generator) -> np.ndarray:
    return generator.normal((2 * label, 0), 1, 2)


ROWS = {"image": _image, "text": _text, "series": _series, "table": _table}


def write_rows(
    out: Path,
    names: Mapping[str, str],
    seed: int = 0,
    rows: Mapping[str, int] | None = None,
    columns: Mapping[str, Column] | None = None,
) -> Path:
    """Write a dataset whose columns are called and are of the kinds `names`, with classes."""
    of = {name: (columns or COLUMNS)[kind] for name, kind in names.items()}
    splits = {}
    for number, (split, count) in enumerate((rows or {"train": 60, "test": 30}).items()):
        labels = np.arange(count) % 2
        values = {n: values_of(kind, labels, seed + 100 * number) for n, kind in names.items()}
        splits[split] = [Chunk(values | {"label": labels}, np.arange(count))]
    write_dataset(out, of | {"label": COLUMNS["label"]}, splits, {})
    return out


def study_of(target: Path, models: Mapping[str, Any], **more: Any) -> Study:
    """Return a study of a few steps; keyword arguments replace its keys."""
    plain = {
        "study": "several",
        "target_domain": {"dataset": target, "labels": "all"},
        "source_models": models,
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3},
    }
    return Study.model_validate(plain | more)


def trial_of(**flat: Any) -> TrialConfig:
    """Return a trial by dotted keys, `.` written as `__`."""
    plain = {"source_model": "net", "optimizer": "sgd"}
    plain |= {"optimizer.lr": 0.05, "optimizer.warmup": 0.0}
    return TrialConfig.from_flat(plain | {k.replace("__", "."): v for k, v in flat.items()})


def trained(study: Study, seed: int = 1, **flat: Any) -> list[dict[str, Any]]:
    """Train a trial; return its metrics by epoch, the test split's at the end."""
    seen: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        seen.append({k: v for k, v in metrics.items() if k != "train/seconds"})

    run_trial(Material.of(study), trial_of(**flat), seed, report, test=True)
    return seen


def run_of(study: Study, seed: int = 1, **flat: Any) -> TrialRun:
    """Return a trial that is not trained yet."""
    return TrialRun(Material.of(study), trial_of(**flat), seed)


def parts_of(study: Study, seed: int = 1, **flat: Any) -> TrialParts:
    """Return what a trial would train; nothing is read or stored for it."""
    return build_trial(Material.of(study), trial_of(**flat), seed)


def target_of(study: Study) -> Domain:
    """Return the target domain, open."""
    return Domain.open(study.target_domain)
