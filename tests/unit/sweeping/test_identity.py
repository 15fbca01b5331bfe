"""A trial's key is of all that its numbers hang on, and of nothing else."""

import hashlib
import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from raytl import packages
from raytl.config import Study, TrialConfig, dump_study
from raytl.data.domain import Domain, Domains
from raytl.files import digest_of
from raytl.packages import source_digest, versions_of
from raytl.sweeping import identity
from raytl.sweeping.identity import Identity, device_kind, versions
from raytl.sweeping.preflight import Checked, preflight
from raytl.sweeping.resolving import resolved

MakeStudy = Callable[..., Study]
Config = dict[str, Any]
MODELS = {name: {"backbone": "small_cnn", "args": {"width": 4}} for name in ("net", "more", "less")}
MEMBERS = [{"optimizer.lr": rate, "seed": 3} for rate in (0.1, 0.3)]
DEVICE = "cpu x86_64 AVX2"


@pytest.fixture
def checked(tiny_study: MakeStudy) -> Checked:
    found = preflight(tiny_study(source_models=MODELS))
    return replace(found, study=resolved(found.study, found.num_bytes))


def with_key(checked: Checked, key: str, value: Any) -> Checked:
    """Return the checked study with another value under a dotted key."""
    plain = yaml.safe_load(dump_study(checked.study))
    *sections, name = key.split(".")
    section = plain
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    study, domains = Study.model_validate(plain), checked.domains
    assert domains.source is not None and study.source_domain is not None
    target = replace(domains.target, config=study.target_domain)
    source = replace(domains.source, config=study.source_domain)
    return replace(checked, study=study, domains=Domains(target, source))


def config(**more: Any) -> Config:
    return {
        "name": "trial-00000", "id": "00000", "phase": "search", "control": None,
        "searched": ["recipe"], "seed": 3, "rows_seed": None, "micro_batches": 1,
        "trial": TrialConfig(source_model="net").flat(),
    } | more  # fmt: skip


def fused(**more: Any) -> Config:
    return config(fused={"group": "a-1", "index": 0, "members": MEMBERS} | more)


def key(checked: Checked, of: Config | None = None, device: str = DEVICE) -> str:
    return Identity.of(checked, device).key(of or config())


def test_the_same_trial_has_the_same_key(checked: Checked, tiny_study: MakeStudy) -> None:
    again = preflight(tiny_study(source_models=MODELS))
    again = replace(again, study=resolved(again.study, again.num_bytes))
    assert key(again) == key(checked)
    assert key(checked, dict(reversed(config().items()))) == key(checked)
    assert len(key(checked)) == 64


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("target_domain.splits.train", "training"),
        ("target_domain.splits.test", "held_out"),
        ("target_domain.splits.validation", "validation"),
        ("target_domain.validation_fraction", 0.3),
        ("target_domain.labels", 9),
        ("target_domain.labels", "all"),
        ("source_domain.splits.train", "test"),
        ("search.seed", 1),
        ("search.objective", "target_entropy"),
        ("train.epochs", 3),
        ("train.batch_size", 4),
        ("train.compile", True),
        ("train.deterministic", True),
        ("train.benchmark", True),
        ("train.steps_per_epoch", 4),
        ("train.accumulation_steps", 2),
        ("train.precision", "bfloat16"),
        ("train.feed", "streaming"),
        ("train.augment.flip", True),
        ("train.reuse_prefix", False),
        ("train.prefix_dtype", "bfloat16"),
        ("train.prefix_cache_bytes", 5),  # decides whether features are stored
        ("resources.cpus_per_worker", 2),
        ("resources.workers_per_trial", 2),
    ],
)
def test_what_the_study_says_of_training_makes_another_trial(
    checked: Checked, place: str, value: Any
) -> None:
    assert key(with_key(checked, place, value)) != key(checked)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("study", "other"),
        ("space", {"recipe": {"choice": ["mdd"]}}),
        ("defaults.optimizer.momentum", 0.5),
        ("search.trials", 77),
        ("search.sampler", "tpe"),
        ("search.scheduler", "asha"),
        ("search.parallel", 5),
        ("search.control_tries", 3),
        ("search.ranking", "size"),
        ("confirm.top", 3),
        ("confirm.seeds", 9),
        ("confirm.level", 0.9),
        ("train.fuse", "off"),
        ("resources.max_concurrent", 3),
        ("resources.wait_s", 3),
        ("resources.trial_store_bytes", 3),
        ("resources.storage_path", "s3://bucket/runs"),
    ],
)
def test_what_the_study_says_of_other_things_does_not(
    checked: Checked, place: str, value: Any
) -> None:
    assert key(with_key(checked, place, value)) == key(checked)


def test_other_rows_make_another_trial(checked: Checked) -> None:
    source, target = checked.domains.source, checked.domains.target
    assert source is not None
    changes: tuple[dict[str, Any], ...] = (
        {}, {"target": replace(target, dataset=source.dataset)},
        {"source": replace(source, dataset=target.dataset)}, {"source": None},
    )  # fmt: skip
    keys = {key(replace(checked, domains=replace(checked.domains, **new))) for new in changes}
    assert len(keys) == 4


def test_where_the_rows_lie_does_not(checked: Checked, tmp_path: Path) -> None:
    moved = checked
    for role in ("target", "source"):
        shutil.copytree(tmp_path / role, tmp_path / "there" / role)
        moved = with_key(moved, f"{role}_domain.dataset", str(tmp_path / "there" / role))
    study = moved.study
    assert study.source_domain is not None
    there = Domains(Domain.open(study.target_domain), Domain.open(study.source_domain))
    moved = replace(moved, domains=there)
    assert there.target.dataset.path != checked.domains.target.dataset.path
    assert key(moved) == key(checked)


@pytest.mark.parametrize(
    "more",
    [
        {"seed": 4}, {"rows_seed": 0}, {"micro_batches": 2}, {"phase": "confirm"},
        {"trial": TrialConfig(source_model="more").flat()},
        {"trial": TrialConfig(source_model="net", recipe="dann").flat()},
        {"trial": TrialConfig(source_model="net", label_smoothing=0.1).flat()},
        {"trial": TrialConfig(source_model="net", student="more").flat()},
        {"trial": config()["trial"] | {"optimizer.lr": 0.0020000000000000005}},
    ],
)  # fmt: skip
def test_what_is_suggested_makes_another_trial(checked: Checked, more: Config) -> None:
    assert config()["trial"]["optimizer.lr"] == 0.002
    assert key(checked, config(**more)) != key(checked)


@pytest.mark.parametrize(
    "more",
    [
        {"name": "trial-00009"}, {"id": "00009"}, {"searched": []}, {"control": "scratch"},
        {"candidate": "trial 00009"}, {"of_trial": "00009"}, {"seed_index": 2},
    ],
)  # fmt: skip
def test_how_it_is_called_does_not(checked: Checked, more: Config) -> None:
    assert key(checked, config(**more)) == key(checked)


def test_who_trains_together_makes_other_trials(checked: Checked) -> None:
    three = [*MEMBERS, {"optimizer.lr": 0.2, "seed": 3}]
    keys = [
        key(checked, of)
        for of in (
            config(), fused(), fused(index=1), fused(members=three),
            fused(members=MEMBERS[::-1]),
        )
    ]  # fmt: skip
    assert len(set(keys)) == 5
    assert key(checked, fused(group="b-2")) == key(checked, fused())


def test_whether_groups_are_fused_is_of_their_members_alone(checked: Checked) -> None:
    wide = with_key(checked, "train.fuse", 2)
    assert key(wide, fused()) != key(checked, fused())
    assert key(wide) == key(checked)


def test_the_device_makes_another_trial(checked: Checked) -> None:
    assert key(checked, device="cuda A100") != key(checked)


def test_versions_and_source_make_another_trial(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [key(checked)]
    for name in ("torch", "numpy"):
        other = versions() | {name: "0.0.1"}
        with monkeypatch.context() as patch:
            patch.setattr(identity, "versions", lambda other=other: other)
            keys.append(key(checked))
    with monkeypatch.context() as patch:
        patch.setattr(identity, "source_digest", lambda: "0" * 64)
        keys.append(key(checked))
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version", lambda: "3.0.0")
        keys.append(key(checked))
    assert len(set(keys)) == 5
    assert key(checked) == keys[0]


def test_weights_and_shape_of_the_source_model_make_another_trial(checked: Checked) -> None:
    other = replace(checked, weights=checked.weights | {"net": "w" * 64})
    assert key(other) != key(checked)
    spec = checked.source_models["net"]
    (part,) = spec.parts.values()
    larger = part.model_copy(update={"transform": part.transform | {"input_shape": (1, 9, 9)}})
    spec = spec.model_copy(update={"parts": {"image": larger}})
    other = replace(checked, source_models=checked.source_models | {"net": spec})
    assert key(other) != key(checked)


def test_other_source_models_do_not(checked: Checked) -> None:
    other = replace(checked, weights=checked.weights | {"more": "w" * 64})
    assert key(other) == key(checked)
    distilled = config(trial=TrialConfig(source_model="net", student="more").flat())
    assert key(other, distilled) != key(checked, distilled)
    models = {name: spec for name, spec in checked.source_models.items() if name != "less"}
    assert key(replace(checked, source_models=models)) == key(checked)
    assert Identity.of(other, DEVICE).digest != Identity.of(checked, DEVICE).digest


def test_a_digest_is_of_the_content_in_any_order() -> None:
    wanted = hashlib.sha256(b'{"a": [1, null], "b": 0.1}').hexdigest()
    assert digest_of({"b": 0.1, "a": (1, None)}) == wanted


def test_the_versions_are_those_that_run() -> None:
    assert versions()["numpy"] == np.__version__
    assert torch.__version__.startswith(versions()["torch"])


def test_every_source_file_counts_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeping").mkdir()
    file = tmp_path / "sweeping" / "identity.py"
    monkeypatch.setattr(packages, "__file__", str(tmp_path / "packages.py"))

    def digest() -> str:
        return str(source_digest.__wrapped__())  # what is computed once

    found = [digest()]
    for change in (
        lambda: file.write_text("a = 1\n"),
        lambda: file.write_text("a = 2\n"),
        lambda: (tmp_path / "cli.py").touch(),
        lambda: (tmp_path / "cli.py").rename(tmp_path / "verbs.py"),
    ):
        change()
        found.append(digest())
    assert len(set(found)) == 5
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / "verbs.pyc").write_bytes(b"no source")
    assert digest() == found[-1]


def test_the_device_is_the_kind_that_computes(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpus = tiny_study(resources={"gpus_per_worker": 0.5})
    assert device_kind(on_gpus) == "cuda"
    plain = device_kind(tiny_study())
    assert plain.startswith("cpu ")
    assert plain.endswith(f" {torch.backends.cpu.get_cpu_capability()}")
    monkeypatch.setenv("RAYTL_DEVICE", "cpu")  # GPUs that are there by name only
    assert device_kind(on_gpus) == plain


def test_the_versions_of_every_modality_that_is_installed_count() -> None:
    assert {"timm", "torchvision", "scipy"} <= set(versions())
    assert versions_of(("numpy", "no-such-package")) == {"numpy": np.__version__}
