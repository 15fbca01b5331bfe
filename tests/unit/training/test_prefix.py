"""Prefix features: the same losses with and without them, computed once, recomputed when broken."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config import Study, TrialConfig
from raytl.training import prefix as prefix_module
from raytl.training.prefix import cache_folder, make_room
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
TRAIN = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


def run(study: Study, test: bool = True, **flat: Any) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []
    trial = TrialConfig.from_flat({"source_model": "net", "optimizer.lr": 0.05} | flat)

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in metrics.items() if k != "train/seconds"})

    run_trial(study, trial, seed=1, report=report, test=test)
    return reported


def close(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    for a, b in zip(one, two, strict=True):
        for name, value in a.items():
            expected = value if name == "test/confusion" else pytest.approx(value, 1e-4, 1e-5)
            assert b[name] == expected, name


@pytest.mark.parametrize("recipe", ["finetune", "dann", "linear_probe"])
@pytest.mark.parametrize("depth", [2, "100%"])
def test_losses_are_the_same(tiny_study: MakeStudy, recipe: str, depth: int | str) -> None:
    flat = {"recipe": recipe, "frozen_depth": depth, "mapper": "residual"}
    plain = run(tiny_study(train=TRAIN | {"reuse_prefix": False}), **flat)
    assert not cache_folder().exists()
    close(plain, run(tiny_study(train=TRAIN), **flat))
    assert list(cache_folder().glob("*/features.npy"))


FAMILIES = ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "cifar_resnet20", "lenet"]


@pytest.mark.parametrize("backbone", FAMILIES)
def test_losses_are_the_same_for_each_backbone(tiny_study: MakeStudy, backbone: str) -> None:
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3}
    more = {"source_models": {"net": {"backbone": backbone}}, "search": {"trials": 20}}
    flat = {"frozen_depth": "50%", "recipe": "finetune"}
    plain = run(tiny_study(train=train | {"reuse_prefix": False}, **more), test=False, **flat)
    close(plain, run(tiny_study(train=train | {"epochs": 1}, **more), test=False, **flat))


def test_computed_once_and_again_when_broken(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[Path] = []
    compute = prefix_module._compute

    def counting(*args: Any) -> None:
        computed.append(args[2])
        compute(*args)

    monkeypatch.setattr(prefix_module, "_compute", counting)
    study, flat = tiny_study(train=TRAIN), {"recipe": "linear_probe"}
    first = run(study, **flat)
    assert len(computed) == 2  # train and test
    run(study, **flat | {"optimizer.lr": 0.01})
    assert len(computed) == 2
    file = computed[0] / "features.npy"
    broken = bytearray(file.read_bytes())
    broken[-3] ^= 255
    file.write_bytes(broken)
    os.utime(file, ns=(1, 1))
    close(first, run(study, **flat))
    assert len(computed) == 3


def test_least_valuable_entries_go_first(tmp_path: Path) -> None:
    for name, size, seconds in [("slow", 100, 10.0), ("cheap", 100, 0.1), ("big", 1000, 20.0)]:
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "features.npy", np.zeros(1))
        info = f'{{"bytes": {size}, "seconds": {seconds}, "sha256": ""}}'
        (tmp_path / name / "info.json").write_text(info)
    make_room(tmp_path, 1150)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "slow"]
    make_room(tmp_path, 500)
    assert [p.name for p in tmp_path.iterdir()] == ["slow"]
