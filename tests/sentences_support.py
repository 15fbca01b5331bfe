"""Tiny domains of sentences: words of one made-up language, and the same in another one."""

from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.text.column import TextColumn
from raytl.tasks.sentence_column import SentenceColumn

TRAIN, TEST = 24, 11
WORDS = {"one": "eins", "two": "zwei", "red": "röt", "dog": "hund", "sees": "sieht", ".": "."}


def pairs(rows: int, seed: int, most: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of 2 to `most` words, objects (N,), and what they are in the other language."""
    generator = np.random.default_rng(seed)
    known = list(WORDS)
    said = [
        [known[k] for k in generator.integers(0, len(known), generator.integers(2, most + 1))]
        for _ in range(rows)
    ]
    texts = np.array([*(" ".join(words) for words in said), None], dtype=object)[:-1]
    other = [*(" ".join(WORDS[word] for word in words) for words in said), None]
    return texts, np.array(other, dtype=object)[:-1]


def write_pairs(
    out: Path, seed: int, most: int = 5, rows: int = TRAIN, nulls: bool = False
) -> Path:
    """Write a dataset; with `nulls` every third training row has no sentence."""
    columns = {
        "text": TextColumn(mean_bytes=20), "sentence": SentenceColumn(mean_bytes=20, nulls=nulls)
    }  # fmt: skip
    splits = {}
    for number, (name, count) in enumerate({"train": rows, "test": TEST}.items()):
        texts, sentences = pairs(count, seed + 10 * number, most)
        if nulls and name == "train":
            sentences[::3] = None
        splits[name] = [Chunk({"text": texts, "sentence": sentences}, np.arange(count))]
    write_dataset(out, columns, splits, {"kind": "test"}, shard_bytes=500)
    return out


def study_of_pairs(folder: Path, **more: Any) -> dict[str, Any]:
    """A study of two such domains, as it is written in a file."""
    for name, seed, most in (("source", 0, 4), ("target", 1, 5)):
        if not (folder / name).exists():
            write_pairs(folder / name, seed, most)
    return {
        "study": "pairs",
        "source_domain": {"dataset": folder / "source"},
        "target_domain": {"dataset": folder / "target", "labels": 10},
        "source_models": {"net": {"backbone": "bilstm", "args": {"dim": 6, "hidden": 5}}},
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 2, "batch_size": 6, "steps_per_epoch": 2},
    } | more
