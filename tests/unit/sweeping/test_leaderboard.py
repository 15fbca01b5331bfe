"""The leaderboard's order, the oracle beside the honest choice, the ensemble of validators."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping.kept.records import Record, Status
from raytl.sweeping.leaderboard import build_leaderboard, save_leaderboard

MakeStudy = Callable[..., Study]
ACCURACY = "target/validation_accuracy"


def record(
    id_: str,
    curve: list[dict[str, Any]],
    status: Status = "completed",
    control: str | None = None,
    error: str | None = None,
) -> Record:
    config: dict[str, Any] = {
        "name": f"trial-{id_}", "id": id_, "phase": "search", "control": control, "searched": [],
        "trial": {"recipe": "dann"},
    }  # fmt: skip
    return Record(config, curve, status, error)


def unlabelled(id_: str, entropy: float, oracle: float, control: str | None = None) -> Record:
    metrics = {
        "epoch": 2,
        "target/validation_entropy": entropy,
        "oracle/target_validation_accuracy": oracle,
        "target/validator/bnm": -entropy,
        "target/validator/snd": oracle,
    }
    return record(id_, [metrics], control=control)


def reached(*accuracies: float) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, ACCURACY: accuracy, "seconds": 1.5 * epoch, "frozen_blocks": 3}
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


def test_the_oracle_stands_beside_the_honest_choice(
    tiny_study: MakeStudy, domains: tuple[Path, Path]
) -> None:
    study = tiny_study(
        target_domain={"dataset": domains[1], "labels": "none"},
        search={"trials": 2, "objective": "target_entropy"},
    )
    records = [
        unlabelled("source_only-0", 0.1, 0.99, "source_only"),
        unlabelled("00001", 0.5, 0.90),
        unlabelled("00002", 0.3, 0.75),
    ]
    board = build_leaderboard(study, records, complete=True)
    assert [row.trial for row in board.trials] == ["source_only-0", "00002", "00001"]
    assert board.oracle is not None
    assert (board.oracle.trial, board.oracle.chosen) == ("00001", "00002")
    assert board.oracle.gap == pytest.approx(0.15)
    assert board.oracle.sentence.endswith("trial 00002 with 75.0 %, a gap of 15.0 points")
    assert [row.mean_rank for row in board.trials] == [1.0, 2.5, 2.5]


def test_with_labels_there_is_no_oracle(tiny_study: MakeStudy) -> None:
    board = build_leaderboard(tiny_study(), [record("00000", reached(0.5, 0.6))], complete=True)
    assert board.oracle is None


def test_whole_trials_come_first_then_by_the_last_epoch(tiny_study: MakeStudy) -> None:
    records = [
        record("00000", reached(0.9, 0.6)),
        record("00001", [], "failed", error="loss must be finite"),
        record("00002", reached(0.99), "stopped early"),
        record("00003", reached(0.1, 0.7)),
        record("00004", reached(0.8), "unfinished"),
        record("scratch-0", reached(0.2, 0.65), control="scratch"),
        record("00005", reached(0.1, 0.6)),
    ]
    board = build_leaderboard(tiny_study(), records, complete=False)
    assert [(row.rank, row.trial) for row in board.trials] == [
        (1, "00003"), (2, "scratch-0"), (3, "00000"), (4, "00005"), (5, "00002"),
        (None, "00004"), (None, "00001"),
    ]  # fmt: skip
    assert (board.state, board.has_result) == ("stopped", True)
    assert board.seconds == 3.0 * 4 + 1.5 * 2
    first = board.trials[0]
    assert (first.curve, first.objective, first.epochs) == ([0.1, 0.7], 0.7, 2)
    assert first.config == {"recipe": "dann", "frozen_blocks": 3}


def test_a_failed_trials_log_is_in_the_runs_folder(tiny_study: MakeStudy) -> None:
    records = [record("00000", [], "failed", error="no"), record("00001", reached(0.5, 0.6))]
    good, failed = build_leaderboard(tiny_study(), records, complete=True).trials
    assert (failed.error, failed.log) == ("no", "trial-00000/error.txt")
    assert (good.error, good.log) == (None, None)


def test_a_control_is_no_result(tiny_study: MakeStudy) -> None:
    records = [
        record("scratch-0", reached(0.5, 0.6), control="scratch"),
        record("00000", reached(0.5), "stopped early"),
    ]
    assert not build_leaderboard(tiny_study(), records, complete=True).has_result


def test_retrainings_are_not_on_it(tiny_study: MakeStudy) -> None:
    searched = record("00000", reached(0.5, 0.6))
    retrained = Record(searched.config | {"phase": "confirm"}, reached(0.9, 0.9), "completed")
    board = build_leaderboard(tiny_study(), [retrained, searched], complete=True)
    assert [row.objective for row in board.trials] == [0.6]


def test_a_value_that_is_no_number_is_the_worst_of_its_kind(tiny_study: MakeStudy) -> None:
    values = [0.3, math.nan, 0.5, math.nan, 0.4]
    records = [record(f"{i:05d}", reached(0.1, value)) for i, value in enumerate(values)]
    board = build_leaderboard(tiny_study(), records, complete=True)
    assert [row.trial for row in board.trials] == ["00002", "00004", "00000", "00001", "00003"]


def test_it_is_written_as_json_and_as_a_table(tiny_study: MakeStudy, tmp_path: Path) -> None:
    records = [record("00000", [], "failed", error="no"), record("00001", reached(0.5, 0.6))]
    board = build_leaderboard(tiny_study(), records, complete=True)
    save_leaderboard(board, tmp_path)
    written = json.loads((tmp_path / "leaderboard.json").read_text())
    assert written == board.model_dump(mode="json")
    good, failed = csv.DictReader((tmp_path / "leaderboard.csv").open())
    assert (good["rank"], good["trial"], good[ACCURACY]) == ("1", "00001", "0.6")
    assert (failed["rank"], failed["error"], failed["log"]) == ("", "no", "trial-00000/error.txt")
