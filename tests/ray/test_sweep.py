"""A whole study on tiny data, through Tune: controls, search, confirmation, report."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raytl
from raytl.config import Study
from raytl.errors import UserError
from raytl.predictions import Predictions
from raytl.sweeping.verdict.confirmed import Confirmation

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_cluster")
def test_from_shards_to_a_verdict(
    domains: tuple[Path, Path], tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    study = tiny_study()
    result = raytl.verbs.sweep(study, run, store=False)

    statuses = [(row.control, row.status) for row in result.leaderboard.trials]
    assert sorted(statuses, key=str) == [
        ("constant", "completed"),
        ("scratch", "completed"),
        ("source_only", "completed"),
        (None, "completed"),
        (None, "completed"),
    ]
    confirmation = result.confirmation
    assert confirmation is not None
    assert confirmation.test_rows == 40
    assert [(c.control, c.n) for c in confirmation.candidates] == [
        (None, 3),
        ("constant", 3),
        ("scratch", 3),
        ("source_only", 3),
    ]
    controls = {c.control for c in confirmation.comparisons}
    assert controls == {"scratch", "source_only", "constant"}
    for candidate in confirmation.candidates:
        assert candidate.confusion is not None
        assert sum(map(sum, candidate.confusion)) == 3 * 40

        assert [run.seed for run in candidate.runs] == [0, 1, 2]
    _check_predictions(run, confirmation)

    html = (run / "report.html").read_text()
    assert confirmation.verdict.sentence.split(":")[0] in html
    assert not re.search(r'(src|href)="(?!data:image/png;base64,|#)', html)
    kept = json.loads((run / "transfer.json").read_text())
    assert kept["blocks"] and kept["looked"] and (run / "rows.json").exists()
    assert "What was transferred" in html
    assert "http" not in html.replace("http-equiv", "")
    board = json.loads((run / "leaderboard.json").read_text())
    assert board["state"] == "complete"
    assert len((run / "leaderboard.csv").read_text().splitlines()) == 6

    _check_tensorboard(run, board)
    raytl.export(run, "scratch control", tmp_path / "control")
    assert raytl.inspect(tmp_path / "control")["trained_on"]["recipe"] == "scratch"
    best = raytl.inspect(run / "best")
    assert best["task"]["classes"] == ["rows", "columns"]
    assert raytl.predict(run / "best", domains[1])["rows"] == 40

    with pytest.raises(UserError, match="the run folder exists; go on with --resume"):
        raytl.verbs.sweep(study, run)
    again = raytl.verbs.sweep(study, run, resume=True, store=False)
    assert again.leaderboard.trials == result.leaderboard.trials
    assert again.confirmation == confirmation
    _check_tensorboard(run, board)  # written anew


def _check_predictions(run: Path, confirmation: Confirmation) -> None:
    for candidate in confirmation.candidates:
        for one in candidate.runs:
            assert one.predictions is not None
            kept = Predictions.read(run / one.predictions)
            assert len(kept.id_N) == 40
            assert (kept.predicted_N == kept.target_N).mean() == pytest.approx(one.score)


def _check_tensorboard(run: Path, board: dict[str, Any]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for row in board["trials"]:
        events = EventAccumulator(str(run / "tensorboard" / row["folder"])).Reload()
        assert {"train/loss/task", "target/validation_accuracy"} <= set(events.Tags()["scalars"])
        assert len(events.Scalars("train/loss/task")) == 2
        searched = events.SummaryMetadata("_hparams_/session_start_info")
        assert "hparams" in searched.plugin_data.plugin_name


@pytest.mark.usefixtures("ray_cluster")
def test_fused_trials_are_trials_of_their_own(
    tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    boards = {}
    for fuse in ("off", 4):
        study = tiny_study(
            space={"optimizer.lr": {"choice": [0.1, 0.03, 0.01, 0.003]}},
            defaults={"recipe": "finetune", "frozen_depth": "100%"},
            search={"sampler": "grid", "trials": 4, "scheduler": "asha", "control_tries": 1},
            train={"epochs": 5, "batch_size": 8, "steps_per_epoch": 6, "fuse": fuse},
        )
        result = raytl.verbs.sweep(study, tmp_path / str(fuse))
        assert result.confirmation is not None
        boards[fuse] = {
            row.trial: (row.status, row.config["optimizer.lr"], row.objective)
            for row in result.leaderboard.trials
            if row.status == "completed"
        }
        assert {row.status for row in result.leaderboard.trials} <= {"completed", "stopped early"}
    both = boards["off"].keys() & boards[4].keys()
    assert len(both) > 4  # which ones ASHA stops depends on who reports first
    assert all(boards["off"][trial] == boards[4][trial] for trial in both)
