"""Tiny domains of every modality, made on the spot: a source and a target of two classes each.

They differ as domains do: in noise, and where a modality knows how to read other columns, in those
(fields and channels in another order, another rate). Rows are of unequal lengths where they can be.

Legend: N rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.text.column import TextColumn
from raytl.tasks.columns import LabelColumn

TRAIN, TEST = 32, 11  # rows; the second no multiple of any batch
CLASSES = ("first", "second")
Made = tuple[Column, Values]  # a column, and values of rows whose classes were given
Generator = np.random.Generator


def images(y_N: np.ndarray, random: Generator, is_source: bool) -> Made:
    """Stripes across or along, 8 × 8 pixels."""
    pixels = random.normal(0, 10 if is_source else 40, (len(y_N), 8, 8, 1))
    pixels[y_N == 0, ::2] += 150
    pixels[y_N == 1, :, ::2] += 150
    column = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    return column, pixels.clip(0, 255).astype(np.uint8)


def texts(y_N: np.ndarray, random: Generator, is_source: bool) -> Made:
    """Up to nine words; some rows have none."""
    shared = ["the", "a", "book" if is_source else "film"]
    own = [["good", "fine", "glad"], ["bad", "poor", "sad"]]
    rows = [
        " ".join(random.choice(shared + 2 * own[k], random.integers(0, 10)).tolist()) for k in y_N
    ]
    return TextColumn(), np.array(rows, dtype=object)


def tables(y_N: np.ndarray, random: Generator, is_source: bool) -> Made:
    """Two numbers and a category, some of them missing; the source has one more number in front,
    and its categories in another order."""
    fields = [
        Field(name="age", kind="number"),
        Field(name="mass", kind="number"),
        Field(name="town", kind="category", categories=("north", "south", "west")),
    ]
    numbers = random.normal(0, 1, (len(y_N), 2)) + np.stack([y_N, -y_N], axis=1)
    towns = np.where(random.random(len(y_N)) < 0.3, 2.0, y_N)
    values = np.column_stack([numbers, towns])
    values[random.random(values.shape) < 0.2] = np.nan
    if is_source:
        extra = Field(name="height", kind="number")
        other = fields[2].model_copy(update={"categories": ("south", "north", "west")})
        values[:, 2] = np.where(values[:, 2] < 2, 1 - values[:, 2], values[:, 2])
        values = np.column_stack([random.normal(0, 1, len(y_N)), values])
        fields = [extra, *fields[:2], other]
    return TableColumn(fields=tuple(fields)), values


def series(y_N: np.ndarray, random: Generator, is_source: bool) -> Made:
    """Two channels of 3 to 12 steps, which swing fast or slowly; the source has them in another
    order."""
    rows = []
    for k in y_N:
        steps = np.arange(random.integers(3, 13))
        waves = np.stack([np.sin(steps * (1 + k)), np.cos(steps * (1 + k))], axis=1)
        rows.append((waves + random.normal(0, 0.2, waves.shape)).astype(np.float32))
    names = ("east", "north")
    if is_source:
        names, rows = names[::-1], [row[:, ::-1].copy() for row in rows]
    return SeriesColumn(channels=names), as_rows(rows)


def sounds(y_N: np.ndarray, random: Generator, is_source: bool) -> Made:
    """Tones of 200 or 600 Hz, of 0.1 to 0.2 s; the source is sampled twice as often."""
    rate, rows = 4000 if is_source else 2000, []
    for k in y_N:
        time = np.arange(random.integers(rate // 10, rate // 5)) / rate
        tone = np.sin(2 * np.pi * (200 + 400 * k) * time) + random.normal(0, 0.1, len(time))
        rows.append((tone * 8000).astype(np.int16))
    return AudioColumn(rate=rate), as_rows(rows)


@dataclass(frozen=True)
class Kind:
    """How rows of a modality are made, and two tiny networks that read them, of which the first has
    no dropout of its own."""

    make: Callable[[np.ndarray, Generator, bool], Made]
    net: Mapping[str, Any]
    other: Mapping[str, Any]


SPECTROGRAM = {"n_mels": 8, "window": 32, "hop": 32, "n_fft": 64}
KINDS: dict[str, Kind] = {
    "image": Kind(
        images,
        {"backbone": "small_cnn", "args": {"width": 3}},
        {"backbone": "small_cnn", "args": {"width": 2}},
    ),
    "text": Kind(
        texts,
        {"backbone": "bilstm", "args": {"dim": 4, "hidden": 3}},
        {"backbone": "text_cnn", "args": {"dim": 4, "widths": [1, 2], "filters": 3}},
    ),
    "table": Kind(
        tables,
        {
            "backbone": "ft_transformer",
            "args": {"width": 8, "heads": 2, "depth": 2, "attention_dropout": 0},
        },
        {"backbone": "mlp", "args": {"width": 8, "depth": 1, "embedding_dim": 2}},
    ),
    "series": Kind(
        series,
        {"backbone": "lstm", "args": {"width": 3}},
        {"backbone": "inception", "args": {"filters": 2, "kernel": 4, "blocks": 2, "modules": 1}},
    ),
    "audio": Kind(
        sounds,
        {"backbone": "small_cnn", "args": {"width": 3}, "transform": SPECTROGRAM},
        {"backbone": "small_cnn", "args": {"width": 2}, "transform": SPECTROGRAM},
    ),
}


def write_domains(folder: Path, modality: str) -> None:
    """Write the datasets `source` and `target`, each with the splits train and test, whose columns
    are called by the modality and `label`."""
    for number, name in enumerate(("source", "target")):
        random = np.random.default_rng(number)
        chunks, columns = {}, {}
        for split, rows in (("train", TRAIN), ("test", TEST)):
            y_N = np.arange(rows) % 2
            column, values = KINDS[modality].make(y_N, random, name == "source")
            columns = {modality: column, "label": LabelColumn(classes=CLASSES)}
            chunks[split] = [Chunk({modality: values, "label": y_N}, random.permutation(rows))]
        write_dataset(folder / name, columns, chunks, {})
