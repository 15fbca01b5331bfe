"""A trial in a plain process: determinism, label regimes, resuming, losses that are not finite."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from tests_support import write_images

from raytl.config import Study, TargetDomainConfig, TrialConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain
from raytl.data.mixing import joint_batches
from raytl.errors import CorruptError, DataError, TrainingError
from raytl.modalities.image.column import ImageColumn
from raytl.recipes import RECIPES
from raytl.recipes.tradaboost import ROUNDS
from raytl.training.building import build_trial
from raytl.training.checkpoint import FILE_NAME
from raytl.training.material import Material
from raytl.training.rows_read import rows_read
from raytl.training.splits import count_labelled, redrawable, target_rows
from raytl.training.trial import TrialRun, run_trial
from raytl.training.trial_feeds import readers_of, training_feeds

MakeStudy = Callable[..., Study]
BUDGET = {"epochs": 3, "batch_size": 8, "steps_per_epoch": 3}


def run(
    study: Study, trial: TrialConfig, keep: Path | None = None, resume_from: Path | None = None
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    reported: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        metrics = {k: v for k, v in metrics.items() if k != "train/seconds"}
        reported.append(metrics)
        if keep is not None:
            folder = keep / str(metrics["epoch"])
            folder.mkdir(parents=True)
            save(folder)

    parts = run_trial(Material.of(study), trial, seed=5, report=report, resume_from=resume_from)
    return reported, parts.model.state_dict()


def dann(**more: Any) -> TrialConfig:
    flat = {"source_model": "net", "recipe": "dann", "head.dropout": 0.5, "frozen_depth": 1}
    return TrialConfig.from_flat(flat | more)


def test_same_seed_same_result(tiny_study: MakeStudy) -> None:
    one, two = (run(tiny_study(train=BUDGET), dann()) for _ in range(2))
    assert one[0] == two[0]
    assert all(torch.equal(value, two[1][key]) for key, value in one[1].items())


def test_resumed_equals_uninterrupted(tiny_study: MakeStudy, tmp_path: Path) -> None:
    study = tiny_study(train=BUDGET)
    whole, weights = run(study, dann(), keep=tmp_path)
    rest, resumed = run(study, dann(), resume_from=tmp_path / "1")
    assert rest == whole[1:]
    assert all(torch.equal(value, resumed[key]) for key, value in weights.items())
    (tmp_path / "2" / FILE_NAME).write_bytes(b"torn")
    with pytest.raises(CorruptError, match="cannot read the checkpoint"):
        run(study, dann(), resume_from=tmp_path / "2")


def test_the_loss_falls_and_the_accuracy_rises(tiny_study: MakeStudy) -> None:
    study = tiny_study(train={"epochs": 8, "batch_size": 16, "steps_per_epoch": 10})
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "scratch", "optimizer.lr": 0.1})
    reported, _ = run(study, trial)
    assert reported[-1]["train/loss/task"] < 0.5 * reported[0]["train/loss/task"]
    assert reported[-1]["target/validation_accuracy"] >= 0.9


def poisoned(domain: Path, out: Path) -> Path:
    """A copy of a dataset whose every label is wrong."""
    dataset = Dataset.open(domain)
    splits = {}
    for name in dataset.info.splits:
        images, labels = (dataset.split(name).all(column) for column in ("image", "label"))
        splits[name] = [(images, 1 - labels)]
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(out, image, ("rows", "columns"), splits)
    return out


@pytest.mark.parametrize("recipe", ["finetune", "dann", "linear_probe", "source_only"])
def test_without_labels_a_poisoned_target_changes_nothing_but_the_oracle(
    domains: tuple[Path, Path], tiny_study: MakeStudy, tmp_path: Path, recipe: str
) -> None:
    results = []
    for target in (domains[1], poisoned(domains[1], tmp_path / "poisoned")):
        study = tiny_study(target_domain={"dataset": target, "labels": "none"}, train=BUDGET)
        results.append(run(study, dann(recipe=recipe)))
    (clean, clean_weights), (bad, bad_weights) = results
    assert all(torch.equal(value, bad_weights[key]) for key, value in clean_weights.items())
    oracle = "oracle/target_validation_accuracy"
    for one, two in zip(clean, bad, strict=True):
        assert one.pop(oracle) == pytest.approx(1 - two.pop(oracle))
        of_classes = "oracle/target_validation_macro_f1"
        assert one.pop(of_classes) != two.pop(of_classes)
        assert one == two
        assert not any("accuracy" in name for name in one if name.startswith("target/"))


def test_a_loss_that_is_not_finite_stops_before_the_update(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytl.recipes.finetune import Finetune

    seen: list[dict[str, torch.Tensor]] = []

    def losses(self: Any, model: Any, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        seen.append({k: v.clone() for k, v in model.state_dict().items() if "num_" not in k})
        task = model(batch.labelled.inputs).out.sum()
        models.append(model)
        return {"task": task * float("nan") if len(seen) == 5 else task * 0.0}

    models: list[Any] = []
    monkeypatch.setattr(Finetune, "losses", losses)
    with pytest.raises(
        TrainingError, match=r"at step 4 of 9 got task=nan, gradient_norm=nan; stopped"
    ):
        run(tiny_study(train=BUDGET), dann(recipe="finetune"))
    parameters = dict(models[-1].named_parameters())
    assert all(torch.equal(value, seen[-1][key]) for key, value in parameters.items())


def test_rows_of_the_label_regimes(domains: tuple[Path, Path]) -> None:
    labels = Dataset.open(domains[1]).split("train").all("label")

    def rows(regime: Any) -> Any:
        domain = Domain.open(TargetDomainConfig(dataset=domains[1], labels=regime))
        return target_rows(domain, seed=0)

    few = rows(10)
    known = np.union1d(few.labelled, few.validation)
    assert np.bincount(labels[known]).tolist() == [10, 10]
    assert len(np.intersect1d(few.labelled, few.validation)) == 0
    assert sorted([*few.unlabelled, *few.validation]) == list(range(80))
    everything = rows("all")
    assert sorted([*everything.labelled, *everything.validation]) == list(range(80))
    none = rows("none")
    assert len(none.labelled) == 0
    assert sorted([*none.unlabelled, *none.validation]) == list(range(80))
    with pytest.raises(DataError, match="41 per class are asked for, but class 0 has 40"):
        rows(41)
    with pytest.raises(DataError, match="cannot hold out 0.2 of 2 labelled rows"):
        rows(1)


def test_labels_bound_what_a_named_validation_split_gives(tmp_path: Path) -> None:
    splits = {
        name: [stripes(60, seed, 10.0)] for seed, name in enumerate(("train", "held", "test"))
    }
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(tmp_path / "target", image, ("rows", "columns"), splits)
    dataset = Dataset.open(tmp_path / "target")

    def rows(regime: Any, seed: int = 0) -> Any:
        return target_rows(domain(regime), seed)

    def domain(regime: Any) -> Domain:
        config = TargetDomainConfig(
            dataset=tmp_path / "target", labels=regime, splits={"validation": "held"}
        )
        return Domain.of(config, dataset)

    few = rows(5)
    assert few.validation_split == "held"
    assert np.bincount(dataset.split("train").all("label")[few.labelled]).tolist() == [4, 4]
    assert np.bincount(dataset.split("held").all("label")[few.validation]).tolist() == [1, 1]
    assert len(few.unlabelled) == 60
    assert len(rows("all").validation) == len(rows("none").validation) == 60
    with pytest.raises(DataError, match="labels: 1 per class leave none to learn from when 1"):
        rows(1)
    assert redrawable(domain(36)) and not redrawable(domain(37))
    assert not redrawable(domain("all"))
    assert count_labelled(domain(5), [0]) == 10
    others = len(np.union1d(few.labelled, rows(5, seed=1).labelled))
    held = len(np.union1d(few.validation, rows(5, seed=1).validation))
    assert others > 8
    assert count_labelled(domain(5), [0, 1]) == others + held
    assert count_labelled(domain("none"), [0, 1]) == 0


def test_validators_are_the_objectives_until_the_last_epoch(
    tiny_study: MakeStudy, domains: tuple[Path, Path]
) -> None:
    target = {"dataset": domains[1], "labels": "none"}
    study = tiny_study(target_domain=target, search={"trials": 2, "objective": "iwv"}, train=BUDGET)
    first, *_, last = run(study, dann())[0]
    every = {"certainty", "bnm", "snd", "mixval", "iwv", "dev", "circv"}
    names = {f"target/validator/{name}" for name in every}
    assert names & set(first) == {"target/validator/iwv"}
    assert names <= set(last)


def test_source_validators_have_their_rows_whatever_the_recipe_reads(
    tiny_study: MakeStudy, domains: tuple[Path, Path]
) -> None:
    trial = dann(recipe="finetune", student="net")

    def feeds_of(study: Study) -> Any:
        material = Material.of(study)
        parts = build_trial(material, trial, seed=0)
        streams = RECIPES["distillation"].streams(study.labelled, has_source=True)
        read = rows_read(material, streams, rows_seed=0)
        readers = readers_of(material, parts, torch.device("cpu"), read)
        return training_feeds(material, readers, readers, read, seed=0)

    unlabelled = tiny_study(target_domain={"dataset": domains[1], "labels": "none"})
    feeds, _, source_validation = feeds_of(unlabelled)
    assert set(feeds) == {"target"}
    assert source_validation is not None
    assert feeds_of(tiny_study())[2] is None  # judged by target labels


@pytest.mark.parametrize("reuse_prefix", [True, False])
def test_a_teacher_sees_the_stored_pixels_and_not_its_students(
    tiny_study: MakeStudy, tmp_path: Path, reuse_prefix: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
    split = (pixels, np.arange(40) % 2)
    image = ImageColumn(shape=(16, 16, 1), dtype="uint8")
    write_images(tmp_path / "fine", image, ("a", "b"), {"train": [split], "test": [split]})
    net = {"backbone": "small_cnn", "args": {"width": 4}}
    study = tiny_study(
        source_domain=None,
        target_domain={"dataset": tmp_path / "fine"},
        source_models={"teacher": net, "student": net | {"input_size": 8}},
        train=BUDGET | {"reuse_prefix": reuse_prefix},
    )
    trial = dann(recipe="relational_distillation", source_model="teacher", student="student")
    material = Material.of(study)
    run = TrialRun(material, trial, 0)
    recipe: Any = run.parts.recipe
    seen: list[torch.Tensor] = []
    student = run.parts.model.branch("image").backbone
    student.blocks[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = next(joint_batches(run.feeds)).target
    assert batch is not None
    run.parts.model(batch.inputs)
    assert seen[0].shape[2:] == (4, 4)  # behind the first block: of 8 × 8
    stored = Dataset.open(study.target_domain.dataset).split("train")
    place = {int(id_): row for row, id_ in enumerate(stored.ids())}
    values = stored.read("image", [place[int(id_)] for id_ in batch.id])
    part = material.source_models.open("teacher", 0).parts["image"]
    x_BCHW = part.transform(torch.from_numpy(values))
    assert isinstance(x_BCHW, torch.Tensor) and x_BCHW.shape[2:] == (16, 16)
    expected = part.backbone.eval()(x_BCHW)
    assert torch.allclose(recipe.teacher(batch).features, expected, atol=1e-5)
    assert (batch.inputs["teacher/image"].done == 0) != reuse_prefix


@pytest.mark.parametrize(
    ("splits", "rows"),
    [({}, 64), ({"validation": "test"}, 80)],  # of 80, a fifth is held out
)
def test_tradaboost_counts_the_source_rows_that_it_learns_from(
    tiny_study: MakeStudy, domains: tuple[Path, Path], splits: dict[str, Any], rows: int
) -> None:
    study = tiny_study(source_domain={"dataset": domains[0], "splits": splits})
    recipe: Any = build_trial(Material.of(study), dann(recipe="tradaboost"), 0).recipe
    beta = 1 / (1 + math.sqrt(2 * math.log(rows) / ROUNDS))
    assert recipe.log_beta == pytest.approx(math.log(beta))
    ids = Dataset.open(domains[0]).split("test").ids()
    assert ids.max() == len(recipe.source_log_weights_N) - 1 == 119
