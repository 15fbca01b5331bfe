"""The report and TensorBoard's files of a study of values, and of one that confirms nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import row, write_run

from raytl.predictions import Predictions
from raytl.reporting.html import write_report
from raytl.reporting.tensorboard import FOLDER, write_confirmation
from raytl.sweeping.leaderboard import Oracle
from raytl.sweeping.verdict.confirmed import (
    Candidate,
    Comparison,
    Confirmation,
    Run,
    Verdict,
    save_confirmation,
)
from raytl.sweeping.verdict.intervals import Difference

TARGET_N = np.linspace(1000.0, 1050.0, 20)
DIFFERENCE = Difference(
    difference=3.24, interval=(2.11, 4.37), level=0.95, n=3, rows=20, units=20, looks=1,
    seed_variance=0.1, row_variance=0.1, shared_variance=0.0,
)  # fmt: skip


def candidate(run: Path, name: str, control: str | None, error: float) -> Candidate:
    runs = []
    for seed in range(2):
        file = Path("predictions") / f"{name}{seed}.arrow"
        (run / "predictions").mkdir(exist_ok=True)
        target_N = np.where(np.arange(20) == 3, np.nan, TARGET_N)
        Predictions(np.arange(20), target_N, TARGET_N + error).write(run / file)
        runs.append(
            Run(
                seed=seed, score=error, metrics={"mae": error, "r2": 0.5}, objective=error,
                seconds=1.0, folder=name, predictions=str(file), error=None,
            )
        )  # fmt: skip
    return Candidate(
        name=name, trial="0", control=control, selected=control is None,
        config={"source_model": "net", "recipe": "finetune"}, runs=runs, n=2, mean=error,
        standard_error=0.02, metrics={"mae": error, "r2": 0.5}, objective=error,
        trainable_parameters=7, confusion=None, recall=None,
    )  # fmt: skip


def confirmed(run: Path) -> Confirmation:
    confirmation = Confirmation(
        metric="rmse", split="test", test_rows=19, classes=[], seeds=[0, 1], level=0.95,
        margin=0.15, labels_read=10,
        candidates=[candidate(run, "ours", None, 2.5), candidate(run, "plain", "scratch", 5.74)],
        comparisons=[Comparison(candidate="ours", control="scratch", difference=DIFFERENCE)],
        verdict=Verdict(kind="helps", sentence="it helps"), recommended="ours",
    )  # fmt: skip
    save_confirmation(confirmation, run)
    return confirmation


def board_of(run: Path, **changed: Any) -> None:
    board = json.loads((run / "leaderboard.json").read_text())
    (run / "leaderboard.json").write_text(json.dumps(board | changed))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = write_run(tmp_path / "run", [row(0, objective=1234.5678)])
    objective = {"name": "target/validation_rmse", "mode": "min", "label": "error"}
    board_of(made, metric="rmse", objective=objective)
    return made


def test_a_study_of_values_is_reported_in_their_unit(run: Path) -> None:
    confirmed(run)
    text = write_report(run).read_text()
    assert "<th>root mean squared error</th><th>mean absolute error</th><th>R²</th>" in text
    assert "2.50 ± 0.02" in text and "50.0 points" in text
    assert "<th>lower by</th>" in text and "<td>+3.2</td>" in text and "+2.1 … +4.4" in text
    assert "smaller differences than 0.150 count as none" in text
    assert "Root mean squared error against cost" in text
    assert "lowest class recall" not in text and "Confusion matrix" not in text
    assert "1,234.57" in text  # the objective, large


def test_a_class_that_is_never_found_is_said_to_be_the_lowest(run: Path) -> None:
    found = confirmed(run)
    ours = found.candidates[0].model_copy(update={"recall": [0.0, 0.9, None]})
    save_confirmation(
        found.model_copy(update={"classes": ["a", "b", "c"], "candidates": [ours]}), run
    )
    text = write_report(run).read_text()
    assert "lowest class recall" in text and "<td>0.0 %</td>" in text


def test_its_figure_shows_predicted_against_true_values(run: Path) -> None:
    confirmed(run)
    text = write_report(run).read_text()
    assert "Predicted and true values" in text
    assert "The error is at most 2.5 in 10 % of the rows" in text
    assert "true value" in text and "predicted value" in text


def test_tensorboard_has_the_figure_of_each_candidate(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_confirmation(run, confirmed(run))
    events = EventAccumulator(str(run / FOLDER / "confirmation"))
    events.Reload()
    assert events.Tags()["images"] == ["predicted/ours", "predicted/plain"]


def test_a_study_that_confirms_nothing_says_why(tmp_path: Path) -> None:
    made = write_run(tmp_path / "run", [row(0)])
    said = "no verdict: no row of split 'test' has a label; best/ holds trial 0"
    board_of(made, unconfirmed=said, state="complete")
    text = write_report(made).read_text()
    assert f'<p class="verdict">{said}</p>'.replace("'", "&#39;") in text
    assert "No verdict yet" not in text


def test_why_the_metric_is_not_the_usual_one_stands_in_the_report(tmp_path: Path) -> None:
    made = write_run(tmp_path / "run", [row(0)])
    facts = json.loads((made / "environment.json").read_text())
    reason = "the metric is auc, as class 0 is rare"
    (made / "environment.json").write_text(json.dumps(facts | {"metric_reason": reason}))
    board_of(made, metric="auc", unconfirmed="no verdict")
    assert reason in write_report(made).read_text()


def test_the_oracle_of_errors_is_the_least(tmp_path: Path) -> None:
    oracle = Oracle(metric="rmse", trial="7", score=2.5, chosen="0", chosen_score=3.25)
    assert oracle.gap == 0.75
    assert oracle.sentence.endswith(
        "trial 7 with 2.50; chosen without labels: trial 0 with 3.25, a gap of 0.750"
    )
    shares = Oracle(metric="auc", trial="7", score=0.9, chosen="0", chosen_score=0.8)
    assert shares.sentence.endswith("80.0 %, a gap of 10.0 points of area under the ROC curve")
