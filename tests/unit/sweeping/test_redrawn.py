"""Retrainings that draw labelled rows of their own: who trains together, what best/ holds."""

from pathlib import Path
from typing import Any

import pytest
from values_support import study_of, write_classes, write_values

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.models.source_spec import read_spec
from raytl.sweeping.exporting import export
from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.search.fusing import grouped, members_of
from raytl.sweeping.search.selection import Outcome, retrainings
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation, Run, Verdict
from raytl.sweeping.verdict.drawn_labels import on_drawn_labels
from raytl.training.material import Material
from raytl.training.splits import target_rows
from raytl.training.trial import TrialRun


def suggested(study: Study, redraw: bool, **flat: Any) -> list[dict[str, Any]]:
    """Return the retrainings of two trials with two seeds each."""
    found = []
    for name in ("0", "1"):
        trial = TrialConfig.from_flat({"source_model": "net", "recipe": "finetune"} | flat)
        outcome = Outcome(name, None, trial.flat(), 0.0)
        found += retrainings(study, outcome, range(2), redraw)
    return found


@pytest.mark.parametrize(
    ("metric", "flat", "redraw", "sizes"),
    [
        ("rmse", {}, True, [2] * 4),
        ("rmse", {}, False, [4] * 4),
        ("accuracy", {}, True, [4] * 4),
        ("accuracy", {"class_weights": "balanced"}, True, [2] * 4),
    ],
)
def test_tasks_fitted_to_other_rows_do_not_train_together(
    metric: str, flat: dict[str, Any], redraw: bool, sizes: list[int]
) -> None:
    study = study_of(
        None, Path("nowhere"), search={"metric": metric}, train={"epochs": 1, "fuse": 4}
    )
    flat = flat | {"frozen_depth": "100%"}
    found = grouped(suggested(study, redraw, **flat), study, "run")
    assert [len(members_of(config)) for config in found] == sizes
    if sizes[0] == 2:
        rows = [{member.rows_seed for member in members_of(config)} for config in found]
        assert rows == [{config["rows_seed"]} for config in found]


@pytest.mark.parametrize("rows_seed", [None, 77])
def test_an_exported_model_has_the_task_that_was_fitted_to_its_rows(
    tmp_path: Path, rows_seed: int | None
) -> None:
    data = write_values(tmp_path / "data", 1)
    budget = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 1}
    few = {"dataset": data, "labels": 10}
    study = study_of(None, data, target_domain=few, train=budget, search={"metric": "rmse"})
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "finetune"})
    run = TrialRun(Material.of(study), trial, 3, rows_seed=rows_seed)
    storage = RunStorage(tmp_path / "run")
    storage.trial("seed0").save({}, [run.judge(run.train())], run.save, last=True)
    of_seed = Run(
        seed=0, rows_seed=rows_seed, score=1.0, metrics={}, objective=1.0, seconds=1.0,
        folder="seed0", predictions=None, error=None,
    )  # fmt: skip
    candidate = Candidate(
        name="ours", trial="0", control=None, config=trial.flat(), runs=[of_seed], n=1, mean=1.0,
        standard_error=None, metrics={}, objective=1.0, trainable_parameters=1, confusion=None,
        recall=None,
    )  # fmt: skip
    confirmation = Confirmation(
        metric="rmse", split="test", test_rows=40, classes=[], seeds=[0], level=0.95, margin=None,
        labels_read=10, candidates=[candidate], comparisons=[],
        verdict=Verdict(kind="undecided", sentence=""), recommended="ours",
    )  # fmt: skip
    export(study, storage, confirmation, "ours", tmp_path / "best")
    target = Domain.open(study.target_domain)
    own_N = target.targets("train")[target_rows(target, rows_seed or study.search.seed).labelled]
    spec = read_spec(tmp_path / "best")
    assert spec.task is not None and spec.task["mean"] == pytest.approx(own_N.mean())
    assert spec.rows is not None and list(spec.rows.columns) == list(spec.parts)


@pytest.mark.parametrize(("metric", "each"), [("rmse", ""), ("accuracy", " a class")])
def test_labels_that_no_seed_drew_anew_are_counted_as_they_are_drawn(
    tmp_path: Path, metric: str, each: str
) -> None:
    write = write_values if metric == "rmse" else write_classes
    few = {"dataset": write(tmp_path / "data", 1), "labels": 10}
    study = study_of(None, tmp_path, target_domain=few, search={"metric": metric})
    remarks = on_drawn_labels(
        study, [Record({"rows_seed": None})], Domain.open(study.target_domain)
    )
    assert remarks == [f"this holds for these 10 labels{each}: no seed drew others"]


@pytest.mark.parametrize(
    ("labels", "said"), [(30, "each seed's 30 labels a class are up to 75% of"), (7, None)]
)
def test_seeds_that_share_labels_are_said(tmp_path: Path, labels: int, said: str | None) -> None:
    few = {"dataset": write_classes(tmp_path / "data", 1), "labels": labels}
    study = study_of(None, tmp_path, target_domain=few, search={"metric": "accuracy"})
    records = [Record({"rows_seed": seed}) for seed in (None, 3, 4)]
    remarks = on_drawn_labels(study, records, Domain.open(study.target_domain))
    assert len(remarks) == (said is not None)
    assert said is None or remarks[0].startswith(said)
