"""Whole studies on tiny data, through Tune, that are not judged by accuracy, or by nothing."""

from pathlib import Path

import pytest
from values_support import study_of, write_classes, write_values

import raytl
from raytl.config import load_study

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_of_values_comes_to_a_verdict_in_their_unit(tmp_path: Path) -> None:
    source, target = (write_values(tmp_path / name, i) for i, name in enumerate("st"))
    run = tmp_path / "run"
    result = raytl.verbs.sweep(study_of(source, target), run, store=False)
    assert load_study(run / "study.yaml").search.metric == "rmse"
    assert result.leaderboard.objective["name"] == "target/validation_rmse"
    objectives = [row.objective for row in result.leaderboard.trials]
    assert None not in objectives and objectives == sorted(objectives)  # less is better
    found = result.confirmation
    assert found is not None and found.metric == "rmse"
    assert "(root mean squared error) than with" in found.verdict.sentence
    assert {c.control for c in found.comparisons} == {"scratch", "source_only", "constant"}
    constant = next(c for c in found.candidates if c.control == "constant")
    assert constant.metrics["r2"] == pytest.approx(0.0, abs=0.2)
    assert set(raytl.predict(run / "best", target)) == {"rows", "rmse", "r2", "out"}
    again = raytl.verbs.sweep(study_of(source, target), run, resume=True, store=False)
    assert again.confirmation == found


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_without_test_labels_ends_with_a_model_and_no_verdict(tmp_path: Path) -> None:
    source = write_classes(tmp_path / "source", 0)
    target = write_classes(tmp_path / "target", 1, nulls=("train", "test"))
    study = study_of(source, target, target_domain={"dataset": target, "labels": "none"})
    run = tmp_path / "run"
    result = raytl.verbs.sweep(study, run, store=False)
    assert result.confirmation is None and not result.stopped
    said = result.leaderboard.unconfirmed
    assert said is not None and said.startswith("no verdict: no row of split 'test' has a label")
    best = next(row.trial for row in result.leaderboard.trials if row.control is None)
    assert f"best/ holds trial {best}, the best by batch nuclear norm" in said
    assert raytl.predict(run / "best", target) == {"rows": 40, "out": None}
    assert raytl.inspect(run)["verdict"] == said
