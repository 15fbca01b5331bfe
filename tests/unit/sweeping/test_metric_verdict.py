"""Confirmation by other metrics: values, probabilities, rows without a label, groups, constants."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_support import CLASSES, study_of_scenes
from values_support import study_of, write_values

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.predictions import Predictions
from raytl.scoring.box_metrics import DETECTIONS
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.selection import Outcome, dropped_controls, outcomes_of
from raytl.sweeping.verdict.confirmation import build_confirmation
from raytl.sweeping.verdict.confirming import Unconfirmed
from raytl.sweeping.verdict.remarks import remarks_on
from raytl.sweeping.verdict.rounds import Ended, Retrained, gather, shown_margin, standing

ROWS = 60
TARGET_N = np.random.default_rng(0).normal(100.0, 20.0, ROWS)


@pytest.fixture
def study(tiny_study: Callable[..., Study]) -> Study:
    return tiny_study(search={"metric": "rmse"})


def values(name: str, error: float, *, seeds: int = 3, **more: Any) -> Retrained:
    """Predictions that are off by about `error`."""
    control = name.split()[0] if name.endswith("control") else None
    generator = np.random.default_rng(len(name))
    runs = {
        seed: Predictions(
            np.arange(ROWS), TARGET_N, TARGET_N + error * generator.normal(1, 0.1, ROWS), **more
        )
        for seed in range(seeds)
    }
    return Retrained(name, control, dict.fromkeys(runs, error), runs)


def test_less_error_than_every_control_helps(study: Study) -> None:
    now = standing(study, [values("ours", 3.0), values("scratch control", 9.0)])
    assert now.decision is not None and now.decision.kind == "helps"
    assert now.decision.difference.difference == pytest.approx(6.0, rel=0.05)
    worse = standing(study, [values("ours", 9.0), values("constant control", 3.0)])
    assert worse.decision is not None and worse.decision.kind == "hurts"
    assert worse.decision.control == "constant"


def test_of_several_candidates_the_one_with_less_error_is_selected(study: Study) -> None:
    found = standing(study, [values("ours", 3.0), values("mine", 2.0)])
    assert found.selected == "mine"


def test_what_counts_as_none_is_a_share_of_the_test_targets_spread(study: Study) -> None:
    runs = [values("ours", 3.0)]
    assert shown_margin(study, runs) == pytest.approx(0.01 * TARGET_N.std())
    near = [values("ours", 0.10), values("scratch control", 0.12)]
    now = standing(study, near)
    assert now.decision is not None and now.decision.kind in ("helps", "equivalent")
    assert shown_margin(study, []) is None
    assert shown_margin(study.decided(metric="auc"), []) == 1.0
    assert shown_margin(study.decided(metric="log_loss"), []) == 0.01


def test_rows_without_a_target_are_no_part_of_the_verdict() -> None:
    known = np.arange(10) < 7
    target_N = np.where(known, 1.0, np.nan)
    said = Predictions(np.arange(10), target_N, np.ones(10), group_N=np.arange(10) // 2)
    (found,) = gather([Ended("ours", None, 0, "folder", 0.5)], lambda folder: said, "values")
    assert found.predictions[0].id_N.tolist() == list(range(7))
    assert found.predictions[0].group_N is not None and len(found.predictions[0].group_N) == 7
    labels = Predictions(np.arange(3), np.array([0, -1, 1]), np.array([0, 0, 0]), np.eye(3)[:, :2])
    (found,) = gather(
        [Ended("ours", None, 0, "folder", 0.5)], lambda folder: labels, "probabilities"
    )
    assert found.predictions[0].given("probabilities").shape == (2, 2)


def test_few_groups_are_remarked_on(study: Study) -> None:
    def remarks(groups: int | None) -> list[str]:
        of = {} if groups is None else {"group_N": np.arange(ROWS) % groups}
        both = [values("ours", 3.0, **of), values("scratch control", 9.0, **of)]
        return [s for s in remarks_on(study, [], both, standing(study, both)) if "groups" in s]

    assert remarks(None) == remarks(8) == []
    (found,) = remarks(7)
    assert found.startswith("the test rows are of 7 groups alone, and this holds for these")


def test_a_control_no_better_than_the_mean_is_no_fair_opponent(study: Study) -> None:
    both = [values("ours", 3.0), values("scratch control", 40.0), values("constant control", 40.0)]
    (found,) = [s for s in remarks_on(study, [], both, standing(study, both)) if "guess" in s]
    said = f"{TARGET_N.std():.1f}"
    assert found.startswith("the scratch control is no better than a constant guess (40.")
    assert f"against {said})" in found


@pytest.mark.parametrize(
    ("metric", "p", "fair"),
    [("auc", 0.3, False), ("log_loss", 0.5, False), ("auc", None, True), ("log_loss", None, True)],
)
def test_a_constant_guess_of_probabilities_says_the_classes_shares(
    study: Study, metric: Any, p: float | None, fair: bool
) -> None:
    target_N = np.arange(ROWS) % 2
    p_N = np.where(target_N == 1, 0.9, 0.1) if p is None else np.full(ROWS, p)
    p_NK = np.stack([1 - p_N, p_N], axis=1)
    run = Predictions(np.arange(ROWS), target_N, p_NK.argmax(axis=1), p_NK)
    runs = dict.fromkeys(range(3), run)
    both = [
        Retrained(name, control, dict.fromkeys(range(3), 0.5), runs)
        for name, control in (("ours", None), ("scratch control", "scratch"))
    ]
    judged = study.decided(metric=metric)
    found = [s for s in remarks_on(judged, [], both, standing(judged, both)) if "guess" in s]
    assert not found if fair else len(found) == 1


@pytest.mark.parametrize("found", [0, 1])
def test_a_detector_that_finds_nothing_is_no_fair_opponent(study: Study, found: int) -> None:
    """Ten rows with a box each, of which some are hit."""
    statistics = np.zeros((10, 3 * DETECTIONS + 1))
    statistics[:, : 2 * DETECTIONS] = -1
    statistics[:found, [0, DETECTIONS, 2 * DETECTIONS]] = [0.9, 0, 1]
    statistics[:, -1] = 1
    run = Predictions(np.arange(10), np.zeros(10, np.int64), None, statistics_NM=statistics)
    runs, none = dict.fromkeys(range(3), run), dict.fromkeys(range(3), 0.0)
    both = [
        Retrained(name, control, none, runs)
        for name, control in (("ours", None), ("scratch control", "scratch"))
    ]
    judged = study.decided(metric="map50")
    remarks = [s for s in remarks_on(judged, [], both, standing(judged, both)) if "guess" in s]
    said = "the scratch control is no better than a constant guess (0.0 against 0.0 %)"
    assert [remark.startswith(said) for remark in remarks] == [True] * (1 - found)


def test_by_another_metric_no_control_is_dropped_unseen(study: Study) -> None:
    def records(rmse: float, control: str) -> Record:
        config = {"id": control, "phase": "search", "control": control, "trial": {},
                  "micro_batches": 1}  # fmt: skip
        last = {"target/validation_rmse": rmse, "target/validation_accuracy": 1 / rmse,
                "validation_rows": 1000}  # fmt: skip
        return Record(config, [last], "completed")

    trained = [records(1.0, "scratch"), records(100.0, "source_only")]
    outcomes = outcomes_of(trained, objective_metric(study))
    assert [outcome.loss for outcome in outcomes] == [1.0, 100.0]
    assert not dropped_controls(outcomes)
    by_accuracy = objective_metric(study.decided(metric="accuracy"))
    (dropped,) = dropped_controls(outcomes_of(trained, by_accuracy))
    assert dropped.control == "source_only"


def test_a_confirmation_by_rmse_holds_the_metric_and_the_others(tmp_path: Path) -> None:
    target = write_values(tmp_path / "target", 1)
    study = study_of(None, target, search={"metric": "rmse"})
    files, records = {}, []
    truth = Domain.open(study.target_domain).targets("test")
    for name, control, error in (("trial 0", None, 1.0), ("scratch control", "scratch", 5.0)):
        for seed in range(3):
            folder = f"{name}{seed}"
            files[folder] = Predictions(np.arange(len(truth)), truth, truth + error + 0.1 * seed)
            config = {
                "name": folder, "phase": "confirm", "candidate": name, "control": control,
                "of_trial": "0", "seed_index": seed, "rows_seed": None,
                "trial": {"source_model": "net", "recipe": "finetune"},
            }  # fmt: skip
            last = {
                "target/validation_rmse": error, "test/rmse": error + 0.1 * seed,
                "test/mae": error, "test/r2": 0.5, "test/rows": len(truth),
                "test/residuals": {"bias": 0.0},
            }  # fmt: skip
            records.append(Record(config, [last], "completed"))
    run = tmp_path / "run"
    run.mkdir()
    domain = Domain.open(study.target_domain)
    found = build_confirmation(study, records, domain, run, files.__getitem__)
    ours = found.selected
    assert ours is not None and found.metric == "rmse" and found.classes == []
    assert ours.mean == pytest.approx(1.1) and ours.confusion is None and ours.recall is None
    assert ours.metrics == {"mae": 1.0, "r2": 0.5}
    assert found.margin == pytest.approx(0.01 * truth.std())
    assert "helps: lower by 4.00 ± " in found.verdict.sentence
    again = found.predictions_of(ours, run)
    assert again[1].predicted_N == pytest.approx(truth + 1.1)


def test_boxes_have_classes_as_labels_and_masks_do(tmp_path: Path) -> None:
    study = Study.model_validate(study_of_scenes(tmp_path)).decided(metric="map50")
    domain = Domain.open(study.target_domain)
    assert build_confirmation(study, [], domain, tmp_path, {}.__getitem__).classes == list(CLASSES)


def test_without_test_labels_one_trial_is_retrained_once(tiny_study: Callable[..., Study]) -> None:
    plan = Unconfirmed(tiny_study(confirm={"top": 3, "seeds": [3, 5]}))
    best, second = (Outcome(name, None, {"recipe": "dann"}, 0.0) for name in ("1", "2"))
    control = Outcome("c", "scratch", {"recipe": "scratch"}, 0.0)
    assert plan.add([control]) == [] and plan.count == 0
    (found,) = plan.add([best, second])
    assert (found["name"], found["phase"]) == ("confirm-trial-1-seed0", "confirm")
    assert found["rows_seed"] is None
    assert plan.count == 1 and not plan.wants_more and plan.further() == []
