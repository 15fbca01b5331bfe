"""Every recipe, and every mapper, on every modality: two epochs of two steps of the real loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pool_support import computed, tasks_of
from tiny_domains import KINDS, TEST, write_domains

from raytl.config import TASK_FACTS, MapperName, RecipeName, Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ModelError
from raytl.modalities.registry import MODALITIES
from raytl.predictions import FILE_NAME, Predictions
from raytl.recipes import RECIPES
from raytl.scoring.validators import VALIDATORS
from raytl.training.building import TrialParts, build_trial
from raytl.training.cache_entries import cache_folder
from raytl.training.material import Material
from raytl.training.predict import predict_split
from raytl.training.pretrain import pretrain
from raytl.training.published import Shared
from raytl.training.trial import run_trial

OF_CLASSES = [
    name
    for name in get_args(RecipeName)
    if RECIPES[name].needs <= TASK_FACTS["classification"].gives
]
Materials = Callable[[str], Material]
State = dict[str, torch.Tensor]
Reported = list[dict[str, Any]]
BUDGET = {"epochs": 2, "batch_size": 6, "steps_per_epoch": 2}
TAUGHT = ("distillation", "relational_distillation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("modalities")


@pytest.fixture(scope="module")
def materials(folder: Path) -> Materials:
    """The domains of a modality, open, with two fresh networks and one trained on the source."""

    @cache
    def make(modality: str) -> Material:
        here = folder / modality
        write_domains(here, modality)
        kind = KINDS[modality]
        pretrained = here / "taught"
        pretrain(
            here / "source", kind.other["backbone"], pretrained, epochs=1, batch_size=8,
            args=dict(kind.other["args"]),
        )  # fmt: skip
        study = Study.model_validate(
            {
                "study": "modalities",
                "source_domain": {"dataset": here / "source"},
                "target_domain": {"dataset": here / "target", "labels": 10},
                "source_models": {
                    "net": kind.net,
                    "other": kind.other,
                    "taught": {"path": pretrained},
                },
                "space": {"recipe": {"choice": ["finetune"]}},
                "train": BUDGET | {"reuse_prefix": False},
            }
        )
        return Material.of(study)

    return make


def trial(recipe: str, **flat: Any) -> TrialConfig:
    plain = {
        "source_model": "net", "recipe": recipe, "frozen_depth": 1, "head.hidden": 4,
        "head.dropout": 0.5, "mapper.hidden": 4, "optimizer.lr": 0.05,
        "head": "constant" if recipe == "constant" else "mlp",
    }  # fmt: skip
    if recipe in TAUGHT:
        plain |= {"source_model": "taught", "student": "net"}
    return TrialConfig.from_flat(plain | flat)


def changed(material: Material, **train: Any) -> Material:
    """The same material under another budget."""
    study = material.study
    budget = study.train.model_validate(study.train.model_dump() | train)
    return replace(material, study=study.model_copy(update={"train": budget}))


def run(
    material: Material,
    config: TrialConfig,
    keep: Path | None = None,
    resume_from: Path | None = None,
) -> tuple[Reported, TrialParts]:
    """Train to the end, with the test split; return what was reported, and keep checkpoints."""
    reported: Reported = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in metrics.items() if k != "train/seconds"})
        if keep is not None:
            at = keep / str(metrics["epoch"])
            at.mkdir(parents=True)
            save(at)

    parts = run_trial(material, config, 5, report, test=True, resume_from=resume_from)
    return reported, parts


def state_of(parts: TrialParts) -> State:
    model = {f"model.{name}": value for name, value in parts.model.state_dict().items()}
    recipe = {f"recipe.{name}": value for name, value in parts.recipe.state_dict().items()}
    return {name: value.clone() for name, value in (model | recipe).items()}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def frozen_of(parts: TrialParts) -> State:
    """Weights and buffers of the blocks that are never trained."""
    return {
        f"{branch}.{i}.{name}": value.clone()
        for branch, module in parts.model.named_branches.items()
        for i in sorted(module.frozen)
        for name, value in module.backbone.blocks[i].state_dict().items()
    }


def test_every_modality_is_tried() -> None:
    assert set(KINDS) == set(MODALITIES)


@pytest.mark.parametrize("recipe", OF_CLASSES)
@pytest.mark.parametrize("modality", KINDS)
def test_a_recipe_trains_resumes_and_reads_the_same_streamed(
    materials: Materials, tmp_path: Path, modality: str, recipe: str
) -> None:
    material, config = materials(modality), trial(recipe)
    before = build_trial(material, config, 5)
    whole, parts = run(material, config, keep=tmp_path)
    assert [metrics["epoch"] for metrics in whole] == [1, 2]
    assert all(np.isfinite(v) for m in whole for k, v in m.items() if k.startswith("train/"))
    state, start = state_of(parts), state_of(before)
    if recipe != "constant":  # which is set before any step
        assert not torch.equal(state["model.head.0.weight"], start["model.head.0.weight"])
    assert same(frozen_of(parts), frozen_of(before))
    if parts.teacher is not None and before.teacher is not None:
        taught, was = (of.network.state_dict() for of in (parts.teacher, before.teacher))
        assert same(taught, was)

    rest, resumed = run(material, config, resume_from=tmp_path / "1")
    assert rest == whole[1:]
    assert same(state_of(resumed), state)

    streamed, parts = run(changed(material, feed="streaming"), config)
    assert streamed == whole
    assert same(state_of(parts), state)

    said = Predictions.read(tmp_path / "2" / FILE_NAME)
    split = material.domains.target.split("test")
    assert said.id_N.tolist() == split.ids().tolist() and len(said.id_N) == TEST
    assert said.target_N.tolist() == split.all("label").tolist()
    assert said.p_NK is not None and said.p_NK.sum(1) == pytest.approx(np.ones(TEST), abs=1e-5)
    assert said.predicted_N.tolist() == said.p_NK.argmax(1).tolist()
    right = (said.predicted_N == said.target_N).mean()
    assert whole[-1]["test/accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("mapper", get_args(MapperName))
@pytest.mark.parametrize("network", ["net", "other"])
@pytest.mark.parametrize("modality", KINDS)
def test_every_mapper_takes_what_every_network_gives(
    materials: Materials, modality: str, network: str, mapper: str
) -> None:
    material, config = materials(modality), trial("dan", source_model=network, mapper=mapper)
    branch = build_trial(material, config, 5).model.branch(modality)
    if mapper in ("conv1x1", "attention") and branch.backbone.state == "vector":
        with pytest.raises(ModelError, match="needs spatial maps, but the backbone's last block"):
            run(material, config)
        return
    reported, _ = run(changed(material, epochs=1), config)
    assert all(np.isfinite(v) for k, v in reported[0].items() if k.startswith("train/"))
    assert reported[0]["test/rows"] == TEST


@pytest.mark.parametrize("recipe", ["linear_probe", "dann", *TAUGHT])
@pytest.mark.parametrize("modality", KINDS)
def test_stored_prefix_features_change_nothing(
    materials: Materials,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    modality: str,
    recipe: str,
) -> None:
    material, config = changed(materials(modality), steps_per_epoch=None), trial(recipe)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    plain, _ = run(material, config)
    before = set(cache_folder().glob("*"))  # prepared rows, at most
    stored, _ = run(changed(material, reuse_prefix=True), config)
    assert set(cache_folder().glob("*")) > before
    for one, other in zip(plain, stored, strict=True):
        confusions = {one.pop("test/confusion", None) == other.pop("test/confusion", None)}
        assert confusions == {True}
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("augment", [{"crop": 2}, {"crop": 2, "views": 2}], ids=["anew", "views"])
def test_spectrograms_that_are_kept_are_shifted_as_those_that_are_not(
    materials: Materials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: Any
) -> None:
    material, config = materials("audio"), trial("dann")
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    as_recorded, _ = run(material, config)
    before = set(cache_folder().glob("*"))
    shifted, _ = run(changed(material, augment=augment), config)
    assert before and (set(cache_folder().glob("*")) > before) == ("views" in augment)
    again, _ = run(changed(material, augment=augment, prefix_cache_bytes=2), config)
    assert again == shifted != as_recorded


@pytest.mark.parametrize("recipe", ["linear_probe", "dann"])
@pytest.mark.parametrize("modality", KINDS)
def test_pooled_prefix_features_change_nothing(
    materials: Materials,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    modality: str,
    recipe: str,
) -> None:
    material = changed(materials(modality), steps_per_epoch=None, reuse_prefix=True)
    config = trial(recipe, source_model="taught")
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "own"))
    stored, _ = run(material, config)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "other"))
    (column,) = material.domains.target.inputs
    tasks = tasks_of(material.study, column, [1, "100%"], model="taught")
    pooled = computed(material.study, tasks, tmp_path / "prefix")
    found, _ = run(replace(material, shared=Shared(pooled=pooled)), config)
    assert not cache_folder().exists()  # of the trial's own
    for one, other in zip(stored, found, strict=True):
        assert one.pop("test/confusion", None) == other.pop("test/confusion", None)
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("modality", KINDS)
def test_a_saved_model_predicts_every_row_of_either_domain(
    materials: Materials, folder: Path, modality: str
) -> None:
    material = materials(modality)
    for name, domain in (("source", material.domains.source), ("target", material.domains.target)):
        assert domain is not None
        found = predict_split(folder / modality / "taught", folder / modality / name, "test")
        assert [row[0] for row in found.rows] == domain.split("test").ids().tolist()
        names = [("first", "second")[k] for k in domain.targets("test")]
        right = np.mean(
            [said == name for (_, said, _), name in zip(found.rows, names, strict=True)]
        )
        assert found.metrics["accuracy"] == pytest.approx(right)


def poisoned(domain: Domain, out: Path) -> Path:
    """A copy of a domain whose every label is wrong."""
    dataset, chunks = domain.dataset, {}
    for name in dataset.info.splits:
        split = dataset.split(name)
        values = {column: split.all(column) for column in dataset.columns}
        values[domain.target] = 1 - values[domain.target]
        chunks[name] = [Chunk(values, split.ids() - split.ids().min())]
    write_dataset(out, dataset.columns, chunks, {})
    return out


@pytest.mark.parametrize("modality", KINDS)
def test_without_labels_validators_judge_and_a_poisoned_target_changes_nothing(
    materials: Materials, tmp_path: Path, modality: str
) -> None:
    material = materials(modality)
    target = material.domains.target
    expected = {
        f"target/validator/{name}"
        for name, validator in VALIDATORS.items()
        if MODALITIES[modality].mixes or not validator.reads_mixes
    }
    found = []
    for dataset in (target.dataset.path, poisoned(target, tmp_path / "poisoned")):
        data = material.study.model_dump(mode="json", by_alias=True, exclude_none=True)
        data["target_domain"] |= {"dataset": str(dataset), "labels": "none"}
        made = Material.of(Study.model_validate(data))
        reported: Reported = []

        def report(metrics: dict[str, Any], save: Any, to: Reported = reported) -> None:
            to.append(metrics)

        parts = run_trial(made, trial("dann"), 5, report)
        assert {name for name in reported[-1] if "/validator/" in name} == expected
        learnt = [
            {k: v for k, v in m.items() if not k.startswith("oracle/") and k != "train/seconds"}
            for m in reported
        ]
        found.append((learnt, state_of(parts)))
    (clean, weights), (bad, theirs) = found
    assert clean == bad
    assert same(weights, theirs)
