"""Every recipe × mapper × head on tiny data: three steps of the real loop."""

import copy
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests_support import write_images

from raytl.config import TASK_FACTS, MapperName, RecipeName, Study, TrialConfig
from raytl.modalities.image.column import ImageColumn
from raytl.models.mappers import MAPPERS
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES
from raytl.tasks.heads import HEADS
from raytl.training.building import build_trial
from raytl.training.checkpoint import load_checkpoint
from raytl.training.material import Material
from raytl.training.optimization import build_optimizer
from raytl.training.trial import run_trial

UNLABELLED = [r for r in get_args(RecipeName) if r not in {
    "scratch", "target_only", "joint", "tradaboost", "relational_distillation", "distillation",
    "naive", "seasonal_naive",
}]  # fmt: skip

# The control `constant` has a head of its own.
EVERY = [
    (recipe, mapper, head)
    for recipe, mapper, head in product(get_args(RecipeName), get_args(MapperName), HEADS)
    if RECIPES[recipe].needs <= TASK_FACTS["classification"].gives
    and (recipe == "constant") == (head == "constant")
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("contract")
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    for name in ("source", "target"):
        images = generator.integers(0, 255, (40, 8, 8, 1)).astype(np.uint8)
        splits = {"train": [(images, labels)], "test": [(images[:8], labels[:8])]}
        image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
        write_images(folder / name, image, ("a", "b"), splits)
    return Study.model_validate(
        {
            "study": "contract",
            "source_domain": {"dataset": folder / "source"},
            "target_domain": {"dataset": folder / "target", "labels": 10},
            "source_models": {
                "net": {"backbone": "small_cnn", "args": {"width": 4}},
                "other": {"backbone": "small_cnn", "args": {"width": 3}},
            },
            "space": {"recipe": {"choice": ["finetune"]}},
            "train": {"epochs": 1, "batch_size": 4, "steps_per_epoch": 3},
        }
    )


@pytest.fixture(scope="module")
def material(study: Study) -> Material:
    return Material.of(study)


def trial(
    recipe: str, mapper: str = "identity", head: str | None = None, **flat: Any
) -> TrialConfig:
    head = head or ("constant" if recipe == "constant" else "linear")
    plain = {
        "source_model": "net", "recipe": recipe, "mapper": mapper, "head": head,
        "frozen_depth": 2, "mapper.hidden": 4, "head.hidden": 4, "optimizer.lr": 0.05,
    }  # fmt: skip
    if recipe in ("distillation", "relational_distillation"):
        plain["student"] = "other"
    return TrialConfig.from_flat(plain | flat)


def frozen_state(model: TransferModel) -> dict[str, torch.Tensor]:
    frozen = model.branch("image").frozen
    prefixes = tuple(f"branches.of_image.backbone.blocks.{i}." for i in frozen)
    return {k: v.clone() for k, v in model.state_dict().items() if k.startswith(prefixes)}


@pytest.mark.parametrize(("recipe", "mapper", "head"), EVERY)
def test_three_steps(
    material: Material, tmp_path: Path, recipe: str, mapper: str, head: str
) -> None:
    config = trial(recipe, mapper, head)
    reads = RECIPES[recipe].streams(True, True)
    if mapper == "matrix" and not ("source" in reads and len(reads) > 1):
        pytest.skip(f"matrix needs two domains, {recipe} reads {reads}")
    if recipe == "distillation":
        pytest.skip("needs a teacher with a head: see test_distillation_from_a_saved_model")
    reported: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append(metrics)
        save(tmp_path)

    before = frozen_state(build_trial(material, config, seed=3).model)
    parts = run_trial(material, config, seed=3, report=report, test=True)
    assert all(np.isfinite(v) for k, v in reported[0].items() if k.startswith("train/loss"))
    assert 0 <= reported[0]["test/accuracy"] <= 1
    after = frozen_state(parts.model)
    assert set(before) == set(after)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    again = build_trial(material, config, seed=99 if not before else 3)
    optimizer = build_optimizer(config, again.model, again.recipe)
    assert load_checkpoint(tmp_path, again.model, again.recipe, optimizer).epoch == 1
    for one, two in ((parts.model, again.model), (parts.recipe, again.recipe)):
        state = two.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in one.state_dict().items())


def test_registries_are_whole() -> None:
    assert set(MAPPERS) == set(get_args(MapperName))
    assert set(RECIPES) == set(get_args(RecipeName))


@pytest.mark.parametrize("recipe", UNLABELLED)
def test_a_poisoned_target_label_changes_nothing(study: Study, tmp_path: Path, recipe: str) -> None:
    from raytl.data.dataset import Dataset

    clean = Dataset.open(study.target_domain.dataset)
    splits = {}
    for name in clean.info.splits:
        images, labels = (clean.split(name).all(column) for column in ("image", "label"))
        splits[name] = [(images, 1 - labels)]
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(tmp_path / "poisoned", image, ("a", "b"), splits)
    results = []
    for dataset in (clean.path, tmp_path / "poisoned"):
        data = study.model_dump(mode="json", by_alias=True, exclude_none=True)
        data["target_domain"] |= {"dataset": str(dataset), "labels": "none"}
        reported: list[dict[str, Any]] = []
        parts = run_trial(
            Material.of(Study.model_validate(data)),
            trial(recipe),
            3,
            lambda m, save: reported.append(m),  # noqa: B023
        )
        fixed = {k: v for k, v in reported[0].items() if not k.startswith("oracle/")}
        assert len(fixed) < len(reported[0])
        fixed.pop("train/seconds")
        results.append((fixed, copy.deepcopy(parts.model.state_dict())))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(v, results[1][1][k]) for k, v in results[0][1].items())


def test_distillation_from_a_saved_model(study: Study, tmp_path: Path) -> None:
    from raytl.training.pretrain import pretrain

    pretrain(study.target_domain.dataset, "lenet", tmp_path / "teacher", epochs=1)
    data = study.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["source_models"]["teacher"] = {"path": str(tmp_path / "teacher")}
    reported: list[dict[str, Any]] = []
    config = trial("distillation", source_model="teacher")
    material = Material.of(Study.model_validate(data))
    run_trial(material, config, 3, lambda m, save: reported.append(m))
    assert np.isfinite(reported[0]["train/loss/distillation"])


@pytest.mark.parametrize("tuned", ["0", "1-2", "0%-50%"])
def test_tuned_blocks_and_adapters(material: Material, tuned: str) -> None:
    config = trial("finetune", tuned_blocks=tuned, lora_rank=2)
    before = build_trial(material, config, 3).model
    parts = run_trial(material, config, 3, lambda m, save: None)
    wanted = {"0": {0}, "1-2": {1, 2}, "0%-50%": {0, 1}}[tuned]
    assert set(parts.model.trainable_blocks()) == {("image", i) for i in wanted}
    old, changed = before.state_dict(), set()
    for key, value in parts.model.state_dict().items():
        block = key.removeprefix("branches.of_image.backbone.blocks.")
        if block != key and not torch.equal(value, old[key]):
            changed.add((int(block.split(".")[0]), "parametrizations" in key))
    assert {index for index, adapter in changed if not adapter} == wanted
    assert {index for index, adapter in changed if adapter} == {0, 1, 2, 3} - wanted
