"""A trial in a plain process: determinism, label regimes, resuming, losses that are not finite."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from raytl.data.domains import joint_batches
from raytl.training.inputs import input_transform

from raytl.config import Study, TargetDomainConfig, TrialConfig
from raytl.data.dataset import Dataset
from raytl.data.schema import ImageColumn
from raytl.data.writer import write_dataset
from raytl.errors import CorruptError, DataError, TrainingError
from raytl.models.source_model import load_source_model
from raytl.recipes.tradaboost import ROUNDS
from raytl.training.building import build_trial
from raytl.training.checkpoint import FILE_NAME
from raytl.training.loop import prepare
from raytl.training.splits import count_labelled, redrawable, target_rows
from raytl.training.trial import TrialRun, run_trial
from raytl.training.trial_feeds import training_feeds

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

    parts = run_trial(study, trial, seed=5, report=report, resume_from=resume_from)
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
        images, labels = dataset.split(name).take(range(dataset.split(name).rows))
        splits[name] = [(images, 1 - labels)]
    write_dataset(out, ImageColumn(shape=(8, 8, 1), dtype="uint8"), dataset.classes, splits, {})
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
        assert one == two
        assert not any("accuracy" in name for name in one if name.startswith("target/"))


def test_a_loss_that_is_not_finite_stops_before_the_update(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytl.recipes.finetune import Finetune

    seen: list[dict[str, torch.Tensor]] = []

    def losses(self: Any, model: Any, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        seen.append({k: v.clone() for k, v in model.state_dict().items() if "num_" not in k})
        task = model(batch.labelled.x).logits.sum()
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
    dataset = Dataset.open(domains[1])
    labels = dataset.split("train").labels()

    def rows(regime: Any) -> Any:
        domain = TargetDomainConfig(dataset=domains[1], labels=regime)
        return target_rows(domain, dataset, seed=0)

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
    write_dataset(tmp_path / "target", image, ("rows", "columns"), splits, {})
    dataset = Dataset.open(tmp_path / "target")

    def rows(regime: Any, seed: int = 0) -> Any:
        return target_rows(domain(regime), dataset, seed)

    def domain(regime: Any) -> TargetDomainConfig:
        return TargetDomainConfig(
            dataset=tmp_path / "target", labels=regime, splits={"validation": "held"}
        )

    few = rows(5)
    assert few.validation_split == "held"
    assert np.bincount(dataset.split("train").labels()[few.labelled]).tolist() == [4, 4]
    assert np.bincount(dataset.split("held").labels()[few.validation]).tolist() == [1, 1]
    assert len(few.unlabelled) == 60
    assert len(rows("all").validation) == len(rows("none").validation) == 60
    with pytest.raises(DataError, match="labels: 1 per class leave none to learn from when 1"):
        rows(1)
    assert redrawable(domain(36), dataset) and not redrawable(domain(37), dataset)
    assert not redrawable(domain("all"), dataset)
    assert count_labelled(domain(5), dataset, [0]) == 10
    others = len(np.union1d(few.labelled, rows(5, seed=1).labelled))
    held = len(np.union1d(few.validation, rows(5, seed=1).validation))
    assert others > 8
    assert count_labelled(domain(5), dataset, [0, 1]) == others + held
    assert count_labelled(domain("none"), dataset, [0, 1]) == 0


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
    trial = dann(recipe="distillation", student="net")
    unlabelled = tiny_study(target_domain={"dataset": domains[1], "labels": "none"})
    feeds, _, source_validation = training_feeds(unlabelled, trial, seed=0)
    assert set(feeds) == {"target"}
    assert source_validation is not None
    assert training_feeds(tiny_study(), trial, seed=0)[2] is None  # judged by target labels


def test_a_teacher_sees_the_stored_pixels_and_not_its_students(
    tiny_study: MakeStudy, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
    split = [(pixels, np.arange(40) % 2)]
    image = ImageColumn(shape=(16, 16, 1), dtype="uint8")
    write_dataset(tmp_path / "fine", image, ("a", "b"), {"train": split, "test": split}, {})
    net = {"backbone": "small_cnn", "args": {"width": 4}}
    study = tiny_study(
        source_domain=None,
        target_domain={"dataset": tmp_path / "fine"},
        source_models={"teacher": net, "student": net | {"input_size": 8}},
    )
    trial = dann(recipe="relational_distillation", source_model="teacher", student="student")
    run = TrialRun(study, trial, 0)
    recipe: Any = run.parts.recipe
    seen: list[torch.Tensor] = []
    recipe.teacher.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = prepare(next(joint_batches(run.feeds)), run.trainer)
    recipe.losses(run.parts.model, batch, 0.0)
    (rows,) = seen
    assert batch.target is not None and batch.target.x.shape[2:] == (8, 8)
    stored = Dataset.open(study.target_domain.dataset).split("train")
    place = {int(id_): row for row, id_ in enumerate(stored.ids())}
    images = torch.from_numpy(stored.images([place[int(id_)] for id_ in batch.target.id]))
    spec = load_source_model("teacher", study.source_models["teacher"], (1, 16, 16), seed=0).spec
    assert torch.equal(rows, input_transform(spec)(images))


@pytest.mark.parametrize(
    ("splits", "rows"),
    [({}, 64), ({"validation": "test"}, 80)],  # of 80, a fifth is held out
)
def test_tradaboost_counts_the_source_rows_that_it_learns_from(
    tiny_study: MakeStudy, domains: tuple[Path, Path], splits: dict[str, Any], rows: int
) -> None:
    study = tiny_study(source_domain={"dataset": domains[0], "splits": splits})
    recipe: Any = build_trial(study, dann(recipe="tradaboost"), 0).recipe
    beta = 1 / (1 + math.sqrt(2 * math.log(rows) / ROUNDS))
    assert recipe.log_beta == pytest.approx(math.log(beta))
    ids = Dataset.open(domains[0]).split("test").ids()
    assert ids.max() == len(recipe.source_log_weights_N) - 1 == 119
