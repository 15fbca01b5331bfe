"""Domains whose rows are stored in other ways are trained together by one network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from tests_support import write_images

from raytl.config import Study, TrialConfig
from raytl.modalities.image.column import ImageColumn
from raytl.rows import join
from raytl.training.material import Material
from raytl.training.trial import run_trial


def write(out: Path, seed: int, *, bytes_: bool = True, repeat: int = 1) -> Path:
    """Write stripes as bytes or as floats in [0, 1], each pixel `repeat` times along both sides."""
    splits = {}
    for number, (name, rows) in enumerate({"train": 60, "test": 30}.items()):
        images, labels = stripes(rows, seed + number, 30.0)
        images = images.repeat(repeat, axis=1).repeat(repeat, axis=2)
        stored = images if bytes_ else images.astype(np.float32) / np.float32(255)
        splits[name] = [(stored, labels)]
    side = 8 * repeat
    column = ImageColumn(shape=(side, side, 1), dtype="uint8" if bytes_ else "float32")
    write_images(out, column, ("rows", "columns"), splits)
    return out


def trained(source: Path, target: Path, recipe: str) -> list[dict[str, Any]]:
    study = Study.model_validate(
        {
            "study": "unlike",
            "source_domain": {"dataset": source},
            "target_domain": {"dataset": target, "labels": 10},
            "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
            "space": {"recipe": {"choice": [recipe]}},
            "train": {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3},
        }
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": recipe})
    seen: list[dict[str, Any]] = []
    run_trial(Material.of(study), trial, 0, lambda metrics, _: seen.append(metrics), test=True)
    return [
        {k: v for k, v in metrics.items() if k != "train/seconds" and k != "test/confusion"}
        for metrics in seen
    ]


@pytest.mark.parametrize("recipe", ["dann", "joint"])
def test_bytes_and_the_floats_that_they_stand_for_are_the_same_rows(
    tmp_path: Path, recipe: str
) -> None:
    source = write(tmp_path / "source", 1)
    as_bytes = trained(source, write(tmp_path / "bytes", 2), recipe)
    as_floats = trained(source, write(tmp_path / "floats", 2, bytes_=False), recipe)
    assert as_floats == as_bytes


def test_images_of_two_sizes_are_trained_together(tmp_path: Path) -> None:
    source, target = write(tmp_path / "source", 1, repeat=2), write(tmp_path / "target", 2)
    last = trained(source, target, "dann")[-1]
    assert last["test/rows"] == 30
    assert 0 < last["train/loss/task"] < 0.69  # less than a guess has


def test_rows_of_two_types_are_never_joined_as_they_are() -> None:
    with pytest.raises(AssertionError, match="of one type"):
        join([torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(2, 3)])
