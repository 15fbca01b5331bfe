"""The leaderboard's order, the oracle beside the honest choice, the ensemble of validators."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping.leaderboard import build_leaderboard


def trial(number: int, entropy: float, oracle: float, control: str | None = None) -> Any:
    result = {
        "training_iteration": 2,
        "target/validation_entropy": entropy,
        "oracle/target_validation_accuracy": oracle,
        "target/validator/bnm": -entropy,
        "target/validator/snd": oracle,
    }
    config = {
        "phase": "search", "number": number, "control": control, "searched": [],
        "count": 3, "trial": {"recipe": "dann"},
    }  # fmt: skip
    return SimpleNamespace(
        last_result=result, config=config, status="TERMINATED", path=f"/run/trial-{number:05d}"
    )


def test_the_oracle_stands_beside_the_honest_choice(
    tiny_study: Callable[..., Study], domains: tuple[Path, Path]
) -> None:
    study = tiny_study(
        target_domain={"dataset": domains[1], "labels": "none"},
        search={"trials": 2, "objective": "target_entropy"},
    )
    trials = [trial(0, 0.1, 0.99, "source_only"), trial(1, 0.5, 0.90), trial(2, 0.3, 0.75)]
    board = build_leaderboard(study, trials, Path("/run"), expected=3)
    assert [row.trial for row in board.trials] == ["00000", "00002", "00001"]
    assert board.oracle is not None
    assert (board.oracle.trial, board.oracle.chosen) == ("00001", "00002")
    assert board.oracle.gap == pytest.approx(0.15)
    assert board.oracle.sentence.endswith("trial 00002 with 75.0 %, a gap of 15.0 points")
    assert [row.mean_rank for row in board.trials] == [1.0, 2.5, 2.5]


def test_with_labels_there_is_no_oracle(tiny_study: Callable[..., Study]) -> None:
    board = build_leaderboard(tiny_study(), [], Path("/run"), expected=3)
    assert board.oracle is None
