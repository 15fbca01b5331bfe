"""Trials on values and on rows without labels; the constant control; what is measured of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from values_support import brightness, study_of, write_classes, write_targets, write_values

from raytl.config import TASK_FACTS, Study, TrialConfig
from raytl.data.domain import Domain
from raytl.scoring.validators import VALIDATORS
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.regression import Regression
from raytl.training.building import TrialParts
from raytl.training.evidence import evidence_feeds, gather
from raytl.training.fitted_task import fitted_task
from raytl.training.material import Material
from raytl.training.splits import target_rows
from raytl.training.trial import TrialRun, run_trial

CONSTANT: dict[str, Any] = {
    "recipe": "constant", "head": "constant", "optimizer.weight_decay": 0.0,
}  # fmt: skip


def trial(**flat: Any) -> TrialConfig:
    return TrialConfig.from_flat({"source_model": "net", "recipe": "finetune"} | flat)


def train(study: Study, config: TrialConfig, **more: Any) -> tuple[TrialRun, dict[str, Any]]:
    run = TrialRun(Material.of(study), config, 3, **more)
    metrics: dict[str, Any] = {}
    while not run.done:
        metrics = run.judge(run.train())
    return run, metrics


def names_of(metrics: dict[str, Any], prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in metrics if name.startswith(prefix)}


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Path, Path]:
    return write_values(tmp_path / "source", 0), write_values(tmp_path / "target", 1)


def test_a_network_learns_values(domains: tuple[Path, Path]) -> None:
    budget = {"epochs": 4, "batch_size": 16, "steps_per_epoch": 20}
    study = study_of(*domains, train=budget)
    _, metrics = train(study, trial(**{"optimizer.lr": 0.02}), test=True)
    assert metrics["test/r2"] > 0.7  # a constant has 0
    assert metrics["target/validation_r2"] > 0.7
    assert metrics["target/validation_rmse"] < 10  # of a spread of 14


def test_what_is_reported_of_values(domains: tuple[Path, Path]) -> None:
    study = study_of(*domains, search={"metric": "mae"})
    _, metrics = train(study, trial(recipe="dann"), test=True)
    validated = names_of(metrics, "target/validation_")
    assert validated == {"mae", "r2", "loss"}
    assert names_of(metrics, "source/validation_") == {"r2"}
    tested = names_of(metrics, "test/")
    assert tested == {"rmse", "mae", "r2", "residuals", "error_quantiles", "rows"}
    none = study_of(*domains, target_domain={"dataset": domains[1], "labels": "none"})
    _, metrics = train(none.decided(metric="rmse"), trial(recipe="dann"))
    assert names_of(metrics, "oracle/target_validation_") == {"rmse", "r2"}
    assert not names_of(metrics, "target/validation_")
    assert names_of(metrics, "target/validator/") == {"iwv", "dev"}


def test_what_is_reported_of_classes(tmp_path: Path) -> None:
    study = study_of(None, write_classes(tmp_path / "x", 0), search={"metric": "auc"})
    _, metrics = train(study, trial(), test=True)
    validated = names_of(metrics, "target/validation_")
    assert validated == {"accuracy", "macro_f1", "auc", "entropy", "loss"}
    classes = set(TASK_FACTS["classification"].metrics)
    others = {"calibration_error", "entropy", "confusion", "rows"}
    assert names_of(metrics, "test/") == classes | others


@pytest.mark.parametrize("recipe", ["joint", "importance_weighting", "adda", "deep_coral"])
def test_recipes_that_need_no_classes_train_on_values(
    domains: tuple[Path, Path], recipe: str
) -> None:
    _, metrics = train(study_of(*domains), trial(recipe=recipe))
    assert np.isfinite(metrics["target/validation_rmse"])


def test_a_student_learns_a_teachers_values(domains: tuple[Path, Path], tmp_path: Path) -> None:
    from raytl.training.pretrain import pretrain

    spec = pretrain(domains[0], "small_cnn", tmp_path / "teacher", epochs=1, args={"width": 4})
    assert spec.score is not None and set(spec.score) == {"validation_r2"}
    models = {"net": {"path": tmp_path / "teacher"}, "pupil": {"backbone": "small_cnn"}}
    study = study_of(*domains, source_models=models)
    _, metrics = train(study, trial(recipe="distillation", student="pupil"))
    assert metrics["train/loss/distillation"] > 0


def test_the_constant_control_says_the_mean_of_its_rows_whatever_it_trains(
    domains: tuple[Path, Path],
) -> None:
    study = study_of(None, domains[1], target_domain={"dataset": domains[1], "labels": 20})
    target = Domain.open(study.target_domain)
    for rows_seed in (0, 5):
        run, _ = train(study, trial(**CONSTANT), test=True, rows_seed=rows_seed)
        rows = target_rows(target, rows_seed).labelled
        assert run.predictions is not None
        mean = target.targets("train")[rows].mean()
        assert run.predictions.predicted_N == pytest.approx(np.full(40, mean), rel=1e-6)


def test_the_constant_control_says_the_shares_of_the_classes(tmp_path: Path) -> None:
    source = write_classes(tmp_path / "source", 0, share=0.25)
    target = write_classes(tmp_path / "target", 1)
    none = {"dataset": target, "labels": "none"}
    run, metrics = train(study_of(source, target, target_domain=none), trial(**CONSTANT), test=True)
    assert run.predictions is not None and run.predictions.p_NK is not None
    assert run.predictions.p_NK[:, 1] == pytest.approx(np.full(40, 0.25), abs=0.01)  # the source's
    assert metrics["test/auc"] == 0.5
    assert metrics["train/gradient_norm"] == 0.0


def test_a_constant_that_is_resumed_is_the_same(domains: tuple[Path, Path], tmp_path: Path) -> None:
    study = study_of(*domains)
    run = TrialRun(Material.of(study), trial(**CONSTANT), 3)
    run.judge(run.train())
    run.save(tmp_path)
    again, _ = train(study, trial(**CONSTANT), resume_from=tmp_path, test=True)
    straight, _ = train(study, trial(**CONSTANT), test=True)
    assert again.predictions is not None and straight.predictions is not None
    assert np.array_equal(again.predictions.predicted_N, straight.predictions.predicted_N)


def test_test_rows_keep_their_groups_and_their_values_as_stored(tmp_path: Path) -> None:
    splits = {
        name: (brightness(rows, rows)[0], 1e9 + np.arange(rows))
        for name, rows in (("train", 40), ("test", 20))
    }
    groups = {"train": np.arange(40) % 8, "test": 8 + np.arange(20) % 5}
    target = write_targets(tmp_path / "x", ValueColumn(), splits, groups)
    run, _ = train(study_of(None, target), trial(), test=True)
    assert run.predictions is not None and run.predictions.group_N is not None
    split = Domain.open(study_of(None, target).target_domain).split("test")
    assert np.array_equal(run.predictions.target_N, split.all("target"))  # float32 steps by 64
    assert np.array_equal(run.predictions.group_N, split.all("who"))


@pytest.mark.parametrize("feed", ["resident", "streaming"])
@pytest.mark.parametrize("recipe", ["finetune", "dann"])
def test_values_that_are_large_and_vary_little_are_learnt_as_small_ones(
    tmp_path: Path, recipe: str, feed: str
) -> None:
    found = []
    for start in (0.0, 2.0**30):  # float32 steps by 128 there; the sums are exact
        splits = {}
        for number, (name, rows) in enumerate((("train", 80), ("test", 40))):
            images, level_N = brightness(rows, number)
            splits[name] = (images, start + np.round(16 * level_N))
        data = {r: write_targets(tmp_path / f"{r} {start}", ValueColumn(), splits) for r in "st"}
        budget = {"epochs": 2, "batch_size": 16, "steps_per_epoch": 10, "feed": feed}
        study = study_of(data["s"], data["t"], train=budget)
        config = trial(**{"optimizer.lr": 0.02, "recipe": recipe})
        metrics = train(study, config, test=True)[1]
        found.append({k: v for k, v in metrics.items() if k != "train/seconds"})
    near, far = found
    assert near["test/r2"] > 0.1  # a constant has 0
    for name in ("test/rmse", "test/mae", "test/r2", "target/validation_rmse"):
        assert far[name] == pytest.approx(near[name], rel=1e-3), name
    assert far["train/loss/task"] == pytest.approx(near["train/loss/task"], rel=1e-3)


def test_rows_without_a_value_are_neither_learnt_from_nor_judged(tmp_path: Path) -> None:
    target = write_values(tmp_path / "x", 0, nulls=True)
    study = study_of(None, target)
    run, metrics = train(study, trial(recipe="finetune"), test=True)
    assert metrics["test/rows"] == 20 and np.isfinite(metrics["test/rmse"])
    assert np.isfinite(metrics["target/validation_loss"])
    assert run.predictions is not None and len(run.predictions.id_N) == 40
    known = target_rows(Domain.open(study.target_domain), 0)
    assert metrics["validation_rows"] == len(known.validation)


def test_a_target_without_any_label_is_learnt_and_its_oracle_is_silent(tmp_path: Path) -> None:
    source = write_classes(tmp_path / "source", 0)
    target = write_classes(tmp_path / "target", 1, nulls=("train", "test"))
    none = {"dataset": target, "labels": "none"}
    study = study_of(source, target, target_domain=none)
    run, metrics = train(study, trial(recipe="dann"), test=True)
    assert not names_of(metrics, "oracle/")
    assert np.isfinite(metrics["target/validator/bnm"])
    assert names_of(metrics, "test/") == {"entropy", "rows"} and metrics["test/rows"] == 0
    assert run.predictions is not None and len(run.predictions.id_N) == 40


def test_balanced_rows_change_the_training_of_rare_classes_alone(tmp_path: Path) -> None:
    losses = {}
    for share in (0.5, 0.1):
        study = study_of(None, write_classes(tmp_path / f"{share}", 0, share=share))
        for weights in ("none", "balanced"):
            metrics = train(study, trial(class_weights=weights, optimizer="sgd"))[1]
            losses[share, weights] = metrics["train/loss/task"]
    assert losses[0.5, "none"] == pytest.approx(losses[0.5, "balanced"], rel=1e-5)
    assert losses[0.1, "none"] != pytest.approx(losses[0.1, "balanced"], rel=0.05)


@pytest.mark.parametrize(("recipe", "name"), [("source_only", "task"), ("joint", "source_task")])
def test_source_rows_are_balanced_by_the_classes_of_their_own_domain(
    tmp_path: Path, recipe: str, name: str
) -> None:
    def first_loss(of_source: float, of_target: float, weights: str) -> float:
        folder = tmp_path / f"{of_source} {weights}"
        source = write_classes(folder / "source", 0, share=of_source)
        target = write_classes(folder / "target", 1, share=of_target)
        study = study_of(source, target, train={"epochs": 1, "steps_per_epoch": 1})
        metrics = train(study, trial(recipe=recipe, class_weights=weights))[1]
        return float(metrics[f"train/loss/{name}"])

    assert first_loss(0.5, 0.1, "balanced") == pytest.approx(first_loss(0.5, 0.1, "none"))
    assert first_loss(0.1, 0.5, "balanced") != pytest.approx(first_loss(0.1, 0.5, "none"), rel=0.02)


def evidence_of(study: Study) -> tuple[Any, TrialParts]:
    material = Material.of(study)
    run = TrialRun(material, trial(recipe="dann"), 3)
    feeds = evidence_feeds(material, run._readers, 0, with_source=True)
    return gather(run.parts.model, run.parts.task, feeds, torch.device("cpu")), run.parts


def test_validators_see_squared_errors_of_source_values(domains: tuple[Path, Path]) -> None:
    none = {"dataset": domains[1], "labels": "none"}
    evidence, parts = evidence_of(study_of(*domains, target_domain=none))
    assert evidence.gives == {"vector", "source rows", "row losses"}
    assert evidence.target_p_NK is None and evidence.mixed_agreement is None
    task = parts.task
    assert isinstance(task, Regression)
    spread = (evidence.source_y_S - task.mean) / task.std
    # An untrained head says about the mean, so the loss is about the target's own square.
    assert np.corrcoef(evidence.source_loss_S, spread**2)[0, 1] > 0.9
    scores = {n: VALIDATORS[n].score(evidence) for n in ("iwv", "dev")}
    assert scores["iwv"] == pytest.approx(
        -np.average(evidence.source_loss_S, weights=evidence.source_ratio)
    )


def test_a_task_without_target_labels_is_fitted_to_the_source(tmp_path: Path) -> None:
    source = write_values(tmp_path / "source", 0)
    column = ValueColumn(nulls=True)
    images = brightness(40, 5)[0]
    nothing = {name: (images, np.full(40, np.nan)) for name in ("train", "test")}
    target = write_targets(tmp_path / "target", column, nothing)
    study = study_of(source, target, target_domain={"dataset": target, "labels": "none"})
    task = TrialRun(Material.of(study), trial(recipe="dann"), 3).parts.task
    assert isinstance(task, Regression) and 1020 < task.mean < 1030


def test_the_loop_reports_values_through_every_epoch(domains: tuple[Path, Path]) -> None:
    seen: list[dict[str, Any]] = []
    study = study_of(*domains)
    run_trial(Material.of(study), trial(), 3, lambda metrics, save: seen.append(metrics))
    assert [metrics["epoch"] for metrics in seen] == [1, 2]
    assert all("target/validation_rmse" in metrics for metrics in seen)


@pytest.mark.parametrize("rows_seed", [None, 5])
def test_a_task_is_fitted_to_the_rows_that_its_trial_draws(
    domains: tuple[Path, Path], rows_seed: int | None
) -> None:
    few = {"dataset": domains[1], "labels": 10}
    study = study_of(*domains, target_domain=few)
    task = TrialRun(Material.of(study), trial(), 3, rows_seed=rows_seed).parts.task
    target = Domain.open(study.target_domain)
    rows = target_rows(target, study.search.seed if rows_seed is None else rows_seed).labelled
    own_N = target.targets("train")[rows]
    assert isinstance(task, Regression)
    assert (task.mean, task.std) == pytest.approx((own_N.mean(), own_N.std()))


def test_a_redrawn_trial_weighs_classes_by_its_own_rows(tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", 0)
    study = study_of(None, data, target_domain={"dataset": data, "labels": 10})
    material = Material.of(study)
    drawn = {seed: target_rows(material.domains.target, seed).labelled for seed in (0, 5)}
    assert set(drawn[0]) != set(drawn[5])
    read: list[np.ndarray] = []
    fitted = Classification.fitted

    def noted(column: LabelColumn, parts: Iterable[np.ndarray]) -> Classification:
        read.append(np.concatenate(list(parts)))
        return fitted(column, read[-1:])

    labels_N = material.domains.target.targets("train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classification, "fitted", noted)
        TrialRun(material, trial(class_weights="balanced"), 3, rows_seed=5)
    assert [targets.tolist() for targets in read] == [labels_N[drawn[5]].tolist()]


def test_the_rows_of_a_source_domain_are_the_studys(domains: tuple[Path, Path]) -> None:
    found = Material.of(study_of(*domains)).domains
    assert found.source is not None
    ours, other = (fitted_task(found, found.source, 0, rows_seed) for rows_seed in (None, 5))
    assert isinstance(ours, Regression) and isinstance(other, Regression)
    assert ours.mean == other.mean
