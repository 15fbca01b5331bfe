"""The leaderboard on a terminal: searched trials first, ties once, controls below."""

import io
from typing import Any

import pytest
from rich.console import Console

from raytl.reporting.terminal import MOST_FAILED, MOST_ROWS, leaderboard_table


def row(trial: str, objective: float | None, **more: Any) -> dict[str, Any]:
    config = {
        "recipe": "finetune", "source_model": "net", "frozen_depth": "50%", "mapper": "mlp",
        "optimizer.lr": 0.0123,
    }  # fmt: skip
    plain = {"control": None, "status": "completed", "epochs": 6, "error": None, "log": None}
    return {"trial": trial, "objective": objective, "config": config} | plain | more


def lines(*rows: dict[str, Any]) -> list[str]:
    board = {"study": "tiny", "objective": {"label": "accuracy"}, "trials": list(rows)}
    console = Console(file=io.StringIO(), width=160)
    console.print(leaderboard_table(board))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.strip() for line in file.getvalue().splitlines()]


def test_controls_stand_below_what_was_searched() -> None:
    found = lines(
        row("scratch-0", 0.95, control="scratch"),
        row("scratch-1", 0.9, control="scratch"),
        row("00000", 0.875),
        row("probe-0", 0.75, control="linear_probe", status="stopped early", epochs=2),
        row("00001", 0.5, status="stopped early", epochs=3),
    )
    assert found[0] == "tiny: by accuracy"
    assert [line.split()[:1] + line.split()[6:] for line in found[2:]] == [
        ["00000", "0.8750", "completed"],
        ["00001", "0.5000", "stopped", "at", "3"],
        [],
        ["scratch-0", "0.9500", "control,", "best", "of", "2", "tries"],
        ["probe-0", "0.7500", "control,", "stopped", "at", "2"],
    ]


def test_ties_are_one_row() -> None:
    ties = [row(f"{number:05}", 0.95001 - number * 1e-6) for number in range(6)]
    found = lines(*ties, row("00009", 0.95, status="stopped early", epochs=3), row("00010", 0.9))
    assert found[2].endswith("0.9500 completed; as good: 00001, 00002, 00003 and 2 more")
    assert found[3].endswith("0.9500 stopped at 3")
    assert found[4].startswith("00010")
    assert len(found) == 5  # all are shown: no line says that there are more


def test_small_errors_are_told_apart() -> None:
    found = lines(row("00000", 2e-5), row("00001", 9.012e-5), row("00002", 9.013e-5))
    objectives = [line.split()[6] for line in found[2:]]
    assert objectives == ["2.000e-05", "9.012e-05", "9.013e-05"]


def test_the_rest_is_counted() -> None:
    rows = [row(f"{number:05}", 0.9 - number / 100) for number in range(MOST_ROWS + 4)]
    failed = [
        row(f"1{number:04}", None, status="failed", error="loss\n[nan]", log="trial/error.txt")
        for number in range(MOST_FAILED + 2)
    ]
    found = lines(*rows, *failed)
    assert found[-1] == "6 more in leaderboard.csv"
    assert sum("completed" in line for line in found) == MOST_ROWS
    assert sum("failed: loss [nan] (trial/error.txt)" in line for line in found) == MOST_FAILED


@pytest.mark.parametrize("control", [None, "scratch"])
def test_one_kind_alone_has_no_gap(control: str | None) -> None:
    assert "" not in lines(row("00000", None, control=control))
