"""Pretraining reads what it learns from, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

import raytl


def test_a_dataset_without_a_test_split_can_be_pretrained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
    folder = raytl.dataset((images, np.arange(40) % 2), test=None)
    spec = raytl.pretrain(
        folder, "small_cnn", tmp_path / "model", epochs=1, batch_size=8, threads=1,
        args={"width": 4},
    )  # fmt: skip
    assert spec.classes == ("0", "1")
    assert (tmp_path / "model" / "model.safetensors").exists()
