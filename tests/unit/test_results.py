"""A run's results, of files as a sweep writes them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raytl
from raytl.errors import CorruptError, UserError
from raytl.predictions import Predictions
from raytl.sweeping.kept.records import Trained
from raytl.sweeping.verdict.confirmed import (
    Candidate,
    Comparison,
    Confirmation,
    Run,
    Verdict,
    save_confirmation,
)
from raytl.sweeping.verdict.intervals import Difference

EVIL = "<script>alert(1)</script>"


def trial(name: str, rank: int, **more: Any) -> dict[str, Any]:
    config = {"recipe": "finetune", "source_model": "net", "optimizer.lr": 0.1 * rank}
    return {
        "trial": name, "rank": rank, "control": None, "status": "completed", "objective": 0.9,
        "curve": [0.5, 0.9], "epochs": 2, "seconds": 1.5, "config": config | {"frozen_depth": "0%"},
        "searched": ["optimizer.lr"], "metrics": {"target/loss": 0.25}, "trainable_parameters": 7,
        "error": None, "log": None, "folder": f"trial-{name}",
    } | more  # fmt: skip


def difference(size: float) -> Difference:
    return Difference(
        difference=size, interval=(size - 0.02, size + 0.02), level=0.95, n=2, rows=4, units=4,
        looks=1, seed_variance=0.0, row_variance=0.0, shared_variance=0.0,
    )  # fmt: skip


def candidate(name: str, run: Path, *, control: str | None, right: int) -> Candidate:
    runs = []
    for seed in (0, 1):
        file = f"predictions/{name.replace(' ', '-')}-{seed}.arrow"
        predicted = np.array([0, 1, 0, 1]) ^ (np.arange(4) >= right)
        probabilities = np.eye(2, dtype=np.float32)[predicted]
        said = Predictions(np.arange(4), np.array([0, 1, 0, 1]), predicted, probabilities)
        (run / file).parent.mkdir(exist_ok=True)
        said.write(run / file)
        runs.append(
            Run(
                seed=seed, score=right / 4, metrics={"macro_f1": 0.5}, objective=0.9, seconds=2.0,
                folder=f"confirm-{name}-seed{seed}", predictions=file, error=None,
            )
        )  # fmt: skip
    return Candidate(
        name=name, trial="00001", control=control, selected=control is None, config={}, runs=runs,
        n=2, mean=right / 4, standard_error=0.0, metrics={"macro_f1": 0.5}, objective=0.9,
        trainable_parameters=7, confusion=[[2, 0], [1, 1]], recall=[1.0, 0.5],
    )  # fmt: skip


def write_run(run: Path, rows: list[dict[str, Any]] | None = None, **board: Any) -> Path:
    run.mkdir()
    rows = [trial("00001", 1), trial("scratch-0", 2, control="scratch")] if rows is None else rows
    content = {
        "study": "tiny", "labels": 10, "state": "complete", "seconds": 3.0, "oracle": None,
        "objective": {"name": "target/validation_accuracy", "mode": "max", "label": "accuracy"},
        "trials": rows,
    }  # fmt: skip
    (run / "leaderboard.json").write_text(json.dumps(content | board))
    return run


@pytest.fixture
def confirmed(tmp_path: Path) -> raytl.Results:
    run = write_run(tmp_path / "run")
    ours = candidate("trial 00001", run, control=None, right=4)
    theirs = candidate("scratch control", run, control="scratch", right=3)
    compared = Comparison(candidate=ours.name, control="scratch", difference=difference(0.041))
    said = Verdict(
        kind="helps", sentence=f"it helps: {EVIL}", difference=difference(0.041),
        control="scratch", against_plain=["better than plain"], remarks=["few rows"],
    )  # fmt: skip
    save_confirmation(
        Confirmation(
            metric="accuracy", split="test", test_rows=4, classes=["no", "yes"], seeds=[0, 1],
            level=0.95, margin=1.0, labels_read=20, candidates=[ours, theirs],
            comparisons=[compared], verdict=said, recommended=ours.name,
        ),
        run,
    )  # fmt: skip
    return raytl.results(run)


def test_the_verdict_is_a_sentence_and_its_numbers(confirmed: raytl.Results) -> None:
    verdict = confirmed.verdict
    assert str(verdict) == verdict.text == f"it helps: {EVIL}"
    assert (verdict.kind, verdict.candidate, verdict.against) == ("helps", "trial 00001", "scratch")
    assert (verdict.estimate, verdict.half_width) == pytest.approx((4.1, 2.0))
    assert verdict.interval == pytest.approx((2.1, 6.1))
    assert (verdict.metric, verdict.unit, verdict.level) == ("accuracy", "points", 0.95)
    assert verdict.against_plain == ("better than plain",)
    assert verdict.remarks == ("few rows",)


def test_tables_have_a_row_for_each_trial_retraining_and_comparison(
    confirmed: raytl.Results,
) -> None:
    board = confirmed.leaderboard
    assert board["trial"].tolist() == ["00001", "scratch-0"]
    assert board["optimizer.lr"].tolist() == pytest.approx([0.1, 0.2])
    assert "frozen_depth" not in board
    assert confirmed.trials["target/loss"].tolist() == [0.25, 0.25]
    assert confirmed.trials["frozen_depth"].tolist() == ["0%", "0%"]
    retrained = confirmed.confirmations
    assert retrained.groupby("candidate")["score"].mean().to_dict() == {
        "scratch control": 0.75, "trial 00001": 1.0,
    }  # fmt: skip
    assert retrained["macro_f1"].tolist() == [0.5] * 4
    compared = confirmed.comparisons.iloc[0]
    assert (compared["control"], compared["difference"]) == ("scratch", pytest.approx(4.1))
    assert (compared["low"], compared["high"]) == pytest.approx((2.1, 6.1))


def test_what_a_trial_has_not_is_missing_in_its_row(tmp_path: Path) -> None:
    rows = [trial("00000", 1), trial("00001", 2), trial("scratch-0", 3, control="scratch")]
    for row in rows:
        row["config"]["adversarial_lambda"] = 1.0
    rows[1]["searched"] = ["adversarial_lambda", "optimizer.lr"]
    board = raytl.results(write_run(tmp_path / "run", rows)).leaderboard
    assert board["adversarial_lambda"].isna().tolist() == [True, False, True]
    assert board["optimizer.lr"].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_predictions_are_rows_of_named_classes_and_probabilities(confirmed: raytl.Results) -> None:
    chosen = confirmed.predictions()
    assert len(chosen) == 8
    assert (chosen["target"] == chosen["predicted"]).all()
    theirs = confirmed.predictions("scratch control")
    wrong = theirs[theirs["target"] != theirs["predicted"]]
    assert wrong["id"].tolist() == [3, 3]
    assert wrong["target"].tolist() == ["yes", "yes"]
    assert wrong[["p(no)", "p(yes)"]].to_numpy().tolist() == [[1, 0], [1, 0]]
    with pytest.raises(UserError, match="no candidate 'scratch'; did you mean 'scratch control'"):
        confirmed.predictions("scratch")
    (confirmed.run / "predictions" / "trial-00001-1.arrow").write_bytes(b"")
    with pytest.raises(CorruptError, match="cannot read the predictions"):
        confirmed.predictions()


def test_curves_are_a_trials_numbers_by_epoch(confirmed: raytl.Results) -> None:
    (confirmed.run / "trial-00001").mkdir()
    epochs = [
        {"epoch": 1, "loss": 2.0, "note": "warm"}, {"epoch": 2, "loss": 1.0, "seconds": 3},
    ]  # fmt: skip
    record = Trained({"name": "trial-00001"}, epochs).dump()
    (confirmed.run / "trial-00001" / "record.json").write_text(record)
    for name in ("00001", "trial-00001"):
        curve = confirmed.curves(name)
        assert curve.index.tolist() == [1, 2]
        assert curve["loss"].tolist() == [2.0, 1.0]
        assert "note" not in curve
        assert curve.reset_index()["epoch"].tolist() == [1, 2]
    with pytest.raises(UserError, match="no trial '1'; known: 00001, scratch-0"):
        confirmed.curves("1")
    with pytest.raises(CorruptError, match=r"record\.json: cannot be read: No such file"):
        confirmed.curves("scratch-0")


def test_figures_are_objects_by_name(confirmed: raytl.Results, tmp_path: Path) -> None:
    assert set(confirmed.figures) == {"confirmed", "confusion", "curves", "seconds", "heat_map"}
    confirmed.figures["confirmed"].savefig(tmp_path / "confirmed.png")
    assert (tmp_path / "confirmed.png").stat().st_size > 1000
    # What a notebook asks for
    assert confirmed.figures["curves"]._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_notebook_shows_the_verdict_escaped_and_the_best_trials(
    confirmed: raytl.Results, tmp_path: Path
) -> None:
    shown = confirmed._repr_html_()
    assert EVIL not in shown
    assert "<b>it helps: &lt;script&gt;" in shown
    assert "few rows" in shown
    rows = [trial(f"{i:05d}", i + 1, error=EVIL) for i in range(12)]
    rows[0]["config"]["source_model"] = EVIL
    many = raytl.results(write_run(tmp_path / "many", rows))._repr_html_()
    assert EVIL not in many
    assert many.count("<tr") == 11
    assert "2 more in" in many


def test_a_run_without_a_confirmation_says_why(tmp_path: Path) -> None:
    stopped = raytl.results(write_run(tmp_path / "stopped", state="stopped"))
    assert stopped.stopped
    assert stopped.verdict.kind == "none"
    assert "stopped before its confirmation" in str(stopped.verdict)
    assert stopped.verdict.interval is None
    assert list(stopped.confirmations.columns[:2]) == ["candidate", "trial"]
    assert stopped.comparisons.empty
    unlabelled = write_run(tmp_path / "unlabelled", unconfirmed="no verdict: no row has a label")
    assert str(raytl.results(unlabelled).verdict) == "no verdict: no row has a label"
    with pytest.raises(UserError, match="has no confirmation, and so no test predictions"):
        stopped.predictions()
    with pytest.raises(UserError, match="has no best/"):
        _ = stopped.best


def test_a_run_none_of_whose_trials_has_ended_is_shown(tmp_path: Path) -> None:
    begun = raytl.results(write_run(tmp_path / "begun", [], state="stopped"))
    assert begun.leaderboard.empty and begun.trials.empty
    assert "stopped before its confirmation" in begun._repr_html_()


OTHERS = {
    "has 3 labelled rows, but the test split has 4": lambda said: said.cut(np.arange(3)),
    "has other rows than the first seed": lambda said: replace(said, id_N=said.id_N + 1),
    "has others than the run's 2 classes": lambda said: replace(
        said, p_NK=np.eye(3, dtype=np.float32)[said.predicted_N]
    ),
}


@pytest.mark.parametrize("why", OTHERS)
def test_predictions_of_other_rows_are_refused(confirmed: raytl.Results, why: str) -> None:
    file = confirmed.run / "predictions/trial-00001-1.arrow"
    OTHERS[why](Predictions.read(file)).write(file)
    with pytest.raises(CorruptError, match=f"trial-00001-1.arrow: {why}, so it is of another run"):
        confirmed.predictions()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("classes", ["no"], "1 classes must be counted of 'trial 00001', but its confusion"),
        ("test_rows", "four", "test_rows: Input should be a valid integer"),
    ],
)
def test_a_confirmation_that_does_not_hold_is_refused(
    confirmed: raytl.Results, key: str, value: Any, why: str
) -> None:
    file = confirmed.run / "confirmation.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(CorruptError, match=f"cannot be read: {why}"):
        _ = confirmed.verdict


def test_a_confirmation_that_cannot_be_opened_is_refused(confirmed: raytl.Results) -> None:
    (confirmed.run / "confirmation.json").unlink()
    (confirmed.run / "confirmation.json").mkdir()
    with pytest.raises(CorruptError, match="cannot be read: .*directory.*; copy the run again"):
        _ = confirmed.verdict


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder with a leaderboard"):
        raytl.results(tmp_path / "nowhere")
    run = write_run(tmp_path / "run")
    (run / "leaderboard.json").write_text('{"study": 1}')
    with pytest.raises(CorruptError, match=r"leaderboard\.json: not as `raytl sweep` writes it"):
        _ = raytl.results(run).leaderboard
    half = write_run(tmp_path / "half", objective={"name": "accuracy", "label": "accuracy"})
    with pytest.raises(CorruptError, match=r"leaderboard\.json: not as `raytl sweep` writes it"):
        _ = raytl.results(half).figures


def test_one_run_alone_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two run folders at least must be given, got 1"):
        raytl.compare("runs/one", tmp_path / "compare.html")
