"""Prefix features: the same losses with and without them, computed once, recomputed when broken."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl import devices
from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.models.grafting import BODY, GRAFT
from raytl.rows import Rows, count, move
from raytl.training import prefix
from raytl.training.building import build_trial
from raytl.training.cache_entries import cache_folder, make_room, progress
from raytl.training.feature_store import decode, encode
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import Draft, Room
from raytl.training.readers import Stored
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
TRAIN = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


def run(study: Study, test: bool = True, **flat: Any) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []
    trial = TrialConfig.from_flat(
        {"source_model": "net", "optimizer": "sgd", "optimizer.lr": 0.05} | flat
    )

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in metrics.items() if k != "train/seconds"})

    run_trial(Material.of(study), trial, seed=1, report=report, test=test)
    return reported


def close(one: list[dict[str, Any]], two: list[dict[str, Any]], rel: float = 1e-4) -> None:
    for a, b in zip(one, two, strict=True):
        for name, value in a.items():
            expected = value if name == "test/confusion" else pytest.approx(value, rel, 1e-5)
            assert b[name] == expected, name


@pytest.mark.parametrize("recipe", ["finetune", "dann", "linear_probe"])
@pytest.mark.parametrize("depth", [2, "100%"])
def test_losses_are_the_same(tiny_study: MakeStudy, recipe: str, depth: int | str) -> None:
    flat: dict[str, Any] = {"recipe": recipe, "frozen_depth": depth, "mapper": "residual"}
    plain = run(tiny_study(train=TRAIN | {"reuse_prefix": False}), **flat)
    assert not cache_folder().exists()
    close(plain, run(tiny_study(train=TRAIN), **flat))
    assert list(cache_folder().glob("*/features.npy"))


@pytest.mark.parametrize("recipe", ["finetune", "dann"])
def test_losses_are_the_same_on_stored_views(tiny_study: MakeStudy, recipe: str) -> None:
    flat: dict[str, Any] = {"recipe": recipe, "frozen_depth": 2}
    train = TRAIN | {"augment": {"flip": True, "crop": 2, "views": 2}}
    more = {"search": {"trials": 20}}  # so that two views of each row pay
    plain = run(tiny_study(train=train | {"reuse_prefix": False}, **more), **flat)
    close(plain, run(tiny_study(train=train, **more), **flat))
    assert len(list(cache_folder().glob("*/features.npy"))) > 2


def test_what_is_augmented_anew_in_each_step_is_not_stored(tiny_study: MakeStudy) -> None:
    augment = {"flip": True, "crop": 2}
    augmented = run(tiny_study(train=TRAIN | {"augment": augment}), recipe="linear_probe")
    assert not cache_folder().exists()
    plain = run(tiny_study(train=TRAIN), recipe="linear_probe")
    assert augmented[0]["train/loss/task"] != plain[0]["train/loss/task"]


FAMILIES = [
    "resnet18", "squeezenet1_1", "mobilenet_v3_small", "cifar_resnet20", "lenet", "vgg11",
    "densenet121", "efficientnet_b0", "convnext_tiny", "vit_b_32",
]  # fmt: skip
# The last maps of 32 × 32 pixels are 1 × 1: batch norm over a batch's few values magnifies the
# rounding of efficientnet_b0's features more than a thousandfold.
SIDES = {"efficientnet_b0": 64, "vit_b_32": 64}


@pytest.mark.parametrize("backbone", FAMILIES)
def test_losses_are_the_same_for_each_backbone(
    tiny_study: MakeStudy, domains: tuple[Path, Path], backbone: str
) -> None:
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2}
    net: dict[str, Any] = {"backbone": backbone, "input_size": SIDES.get(backbone)}
    few_rows = {"dataset": domains[1], "labels": 8, "splits": {"train": "test", "test": "train"}}
    more = {
        "source_domain": None, "target_domain": few_rows, "source_models": {"net": net},
        "search": {"trials": 30},
    }  # fmt: skip
    flat: dict[str, Any] = {"frozen_depth": "50%", "recipe": "finetune"}
    plain = run(tiny_study(train=train | {"reuse_prefix": False}, **more), test=False, **flat)
    # Fresh EfficientNets shrink what they are given: the batch norms after them magnify rounding.
    close(plain, run(tiny_study(train=train, **more), test=False, **flat), rel=1e-3)
    assert list(cache_folder().glob("*/features.npy"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was computed: from what, and how many rows; the one row that tells the shape aside."""
    calls: list[tuple[str, int]] = []
    of_prepared, of_stored = Prefix.of_prepared, Prefix.of_stored

    def note(name: str, rows: int) -> None:
        if rows > 1:
            calls.append((name, rows))

    def from_rows(self: Prefix, rows: Rows) -> Any:
        note("of_prepared", count(rows))
        return of_prepared(self, rows)

    def from_features(self: Prefix, stored: Any, depth: int) -> Any:
        note("of_stored", len(stored))
        return of_stored(self, stored, depth)

    monkeypatch.setattr(Prefix, "of_prepared", from_rows)
    monkeypatch.setattr(Prefix, "of_stored", from_features)
    return calls


def test_computed_once_and_again_when_broken(
    tiny_study: MakeStudy, computed: list[tuple[str, int]]
) -> None:
    study = tiny_study(train=TRAIN)
    flat: dict[str, Any] = {"recipe": "linear_probe"}
    first = run(study, **flat)
    assert sum(rows for _, rows in computed) == 80 + 40  # train and test
    run(study, **flat | {"optimizer.lr": 0.01})
    assert sum(rows for _, rows in computed) == 80 + 40
    file = max(cache_folder().glob("*/features.npy"), key=lambda path: path.stat().st_size)
    broken = bytearray(file.read_bytes())
    broken[-3] ^= 255
    file.write_bytes(broken)
    os.utime(file, ns=(1, 1))
    close(first, run(study, **flat))
    assert sum(rows for _, rows in computed) == 80 + 40 + 80
    assert not list(cache_folder().glob("*.draft"))


def test_a_longer_prefix_is_computed_from_a_shorter_one(
    tiny_study: MakeStudy, computed: list[tuple[str, int]]
) -> None:
    study = tiny_study(train=TRAIN)
    run(study, recipe="finetune", frozen_depth=2)
    assert {name for name, _ in computed} == {"of_prepared"}
    computed.clear()
    longer = run(study, recipe="finetune", frozen_depth=3)
    assert {name for name, _ in computed} == {"of_stored"}
    plain = tiny_study(train=TRAIN | {"reuse_prefix": False})
    close(run(plain, recipe="finetune", frozen_depth=3), longer)


def prefix_of(
    study: Study, depth: int = 2, source_model: str = "net", device: str = "cpu", **more: Any
) -> tuple[Prefix, Domain]:
    trial = TrialConfig.from_flat({"source_model": source_model, "frozen_depth": depth})
    material = Material.of(study)
    branch = build_trial(material, trial, 0).model.branch("image")
    return Prefix(branch, torch.device(device), **more), material.domains.target


def stored(prefix: Prefix, domain: Domain, split: str = "train") -> torch.Tensor:
    """Every row of a split out of the store, computed where it is not there yet."""
    rows = Stored("image", prefix, Room(2**30)).rows(domain, split, "image", None)
    features = rows.given(np.arange(domain.split(split).rows)).rows
    assert isinstance(features, torch.Tensor)
    return features


def computed_here(prefix: Prefix, domain: Domain, split: str = "train") -> torch.Tensor:
    """The same without the store."""
    images = prefix.branch.transform.prepare(domain.split(split).all("image"))
    return decode(prefix.of_prepared(images).values)


def test_the_key_tells_arguments_apart_that_share_weights(tiny_study: MakeStudy) -> None:
    plain = {"backbone": "mobilenet_v3_small", "input_size": 64}
    nets = {"plain": plain, "dilated": plain | {"args": {"dilated": True}}}
    study = tiny_study(source_models=nets)
    found = {}
    weights = prefix_of(study, 11, "plain")[0].branch.backbone.state_dict()
    for name in nets:
        prefix, domain = prefix_of(study, 11, name)
        prefix.branch.backbone.load_state_dict(weights)
        features = computed_here(prefix, domain, "test")
        assert torch.allclose(stored(prefix, domain, "test"), features, atol=1e-5)
        row_bytes = prefix.row_bytes(prefix.branch.transform.example(1))
        assert row_bytes == features[:1].nbytes
        found[name] = prefix.key(["rows"]), row_bytes
    assert found["plain"][0] != found["dilated"][0]
    assert found["plain"][1] * 4 == found["dilated"][1]  # twice the side


def test_the_key_tells_kinds_of_device_and_their_settings_apart(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"cuda:0": "Tesla T4", "cuda:1": "Tesla T4", "cuda:2": "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[str(device)])

    def key(device: str) -> str:
        return prefix_of(tiny_study(), device=device)[0].key(["rows"])

    on_cpu, *on_gpus = (key(device) for device in ("cpu", *names))
    assert on_gpus[0] == on_gpus[1] and len({on_cpu, *on_gpus}) == 3
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert key("cuda:0") not in on_gpus and key("cpu") == on_cpu


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_maps_for_a_gpu_keep_their_channels_last(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    study = tiny_study()
    shorter, domain = prefix_of(study, 2, dtype=dtype)
    expected = stored(shorter, domain)
    assert expected.is_contiguous(), "on a CPU they are as they were"
    longer = stored(*prefix_of(study, 3, dtype=dtype))
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    found = stored(*prefix_of(study, 2, dtype=dtype))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found.is_contiguous()
    assert torch.equal(found, expected)
    some = move(found, torch.device("cpu"))
    assert isinstance(some, torch.Tensor)
    assert some.is_contiguous(memory_format=torch.channels_last)
    # The longer one is computed from the shorter one, as that is stored.
    torch.testing.assert_close(stored(*prefix_of(study, 3, dtype=dtype)), longer)


def test_a_bfloat16_entry_is_the_same_whatever_was_stored_before(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, found = tiny_study(), []
    for depths in ((3,), (2, 3)):
        monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / f"after {depths[0]}"))
        for depth in depths:
            features = stored(*prefix_of(study, depth, dtype="bfloat16"))
        found.append(features)
    assert torch.equal(*found)


def test_processes_that_wait_help(
    tiny_study: MakeStudy, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(train=TRAIN)
    monkeypatch.setattr("raytl.training.prefix_cache.LEAST_ROWS", 4)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda case: stored(*case), [prefix_of(study) for _ in range(4)]))
    assert sum(rows for _, rows in computed) == 80
    expected = computed_here(*prefix_of(study))
    for features in found:
        assert torch.allclose(features, expected, atol=1e-5)
    assert not list(cache_folder().glob("*-*.lock"))


def test_what_a_killed_process_left_is_gone_on_with(
    tiny_study: MakeStudy, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.training.prefix_cache.LEAST_ROWS", 8)
    prefix, domain = prefix_of(tiny_study(train=TRAIN))
    of_prepared, calls = Prefix.of_prepared, list[int]()

    def dies(self: Prefix, rows: Rows) -> Any:
        calls.append(count(rows))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return of_prepared(self, rows)

    monkeypatch.setattr(Prefix, "of_prepared", dies)
    with pytest.raises(KeyboardInterrupt):
        stored(prefix, domain)
    assert progress() == (3, 10)  # the first call told the shape
    monkeypatch.setattr(Prefix, "of_prepared", of_prepared)
    computed.clear()
    features = stored(prefix, domain)
    assert sum(rows for _, rows in computed) == 7 * 8
    assert torch.allclose(features, computed_here(prefix, domain), rtol=1e-6, atol=1e-12)
    assert progress() == (0, 0)


def test_chunks_cover_all_rows() -> None:
    for rows in (1, 31, 32, 33, 2048, 60_000):
        chunks = Draft(Path("entry"), rows).chunks
        assert [row for chunk in chunks for row in chunk] == list(range(rows))
        assert len(chunks) <= 64


def test_bfloat16_takes_half_and_keeps_three_digits(tiny_study: MakeStudy) -> None:
    values = torch.randn(100, generator=torch.Generator().manual_seed(0))
    stored = encode(values, "bfloat16")
    assert stored.nbytes == 200
    assert decode(stored.values).tolist() == pytest.approx(values.tolist(), rel=2**-8)
    flat: dict[str, Any] = {"recipe": "finetune", "frozen_depth": 2}
    plain = run(tiny_study(train=TRAIN), **flat)
    half = run(tiny_study(train=TRAIN | {"prefix_dtype": "bfloat16"}), **flat)
    assert half[0]["train/loss/total"] != plain[0]["train/loss/total"]
    assert half[0]["train/loss/total"] == pytest.approx(plain[0]["train/loss/total"], rel=0.02)


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


def test_what_is_kept_stays_and_counts(tmp_path: Path) -> None:
    for name, seconds in [("cheap", 0.1), ("slow", 10.0), ("slower", 20.0)]:
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "features.npy", np.zeros(1))
        info = f'{{"bytes": 100, "seconds": {seconds}, "sha256": ""}}'
        (tmp_path / name / "info.json").write_text(info)
    make_room(tmp_path, 200, {tmp_path / "cheap"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cheap", "slower"]
    make_room(tmp_path, 50, {tmp_path / "cheap", tmp_path / "slower"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cheap", "slower"]


def test_features_hang_on_the_versions_of_their_own_wing(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = Material.of(tiny_study())
    trial = TrialConfig.from_flat({"source_model": "net", "frozen_depth": 1})
    branch = build_trial(material, trial, 0).model.branch("image")
    known = dict.fromkeys(("torch", "numpy", "torchvision", "timm", "transformers"), "1")
    changed = []
    for package in (None, *known):
        now = known | ({} if package is None else {package: "2"})
        monkeypatch.setattr(prefix, "versions_of", lambda of, now=now: {n: now[n] for n in of})
        changed.append(Prefix(branch, torch.device("cpu")).key([]))
    same = [package for package, key in zip(known, changed[1:], strict=True) if key == changed[0]]
    assert same == ["transformers"]


def test_features_of_a_grafted_body_hang_on_its_wing_too(tiny_study: MakeStudy) -> None:
    trial = TrialConfig.from_flat({"source_model": "net", "frozen_depth": 1})
    branch = build_trial(Material.of(tiny_study()), trial, 0).model.branch("image")
    assert "transformers" not in prefix._packages(branch)
    branch.backbone.name, branch.args = GRAFT, {BODY: {"modality": "text"}}
    assert {"timm", "transformers"} <= set(prefix._packages(branch))


def plain_features(domain: Domain, prefix: Prefix, batches: list[tuple[int, int]]) -> torch.Tensor:
    """The features of rows that are run together as `batches` say, without the store."""
    images = prefix.branch.transform.prepare(domain.split("train").all("image"))
    parts = [decode(prefix.of_prepared(images[start:stop]).values) for start, stop in batches]
    return torch.cat(parts)


def test_a_batch_has_no_more_rows_than_its_bound_and_the_same_ones_each_time(
    tiny_study: MakeStudy, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.training.batches.MOST_VALUES", 12 * 8 * 8)
    prefix, domain = prefix_of(tiny_study(), 2)
    features = stored(prefix, domain)  # chunks of 32 rows
    assert [rows for _, rows in computed] == [12, 12, 8, 12, 12, 8, 12, 4]
    batches = [(0, 12), (12, 24), (24, 32), (32, 44), (44, 56), (56, 64), (64, 76), (76, 80)]
    assert torch.equal(features, plain_features(domain, prefix, batches))


def test_where_memory_runs_out_features_are_the_same_but_for_rounding(
    tiny_study: MakeStudy, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, domain = prefix_of(tiny_study(), 2)
    expected = computed_here(prefix, domain)
    computed.clear()
    run = Prefix.of_prepared

    def little(self: Prefix, rows: Rows) -> Any:
        if count(rows) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, rows)

    monkeypatch.setattr(Prefix, "of_prepared", little)
    features = stored(prefix, domain)
    assert {rows for _, rows in computed} == {8}
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)
