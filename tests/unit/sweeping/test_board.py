"""The leaderboard of a study that runs, and the snapshots that are kept of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping import board as boards
from raytl.sweeping.board import Board
from raytl.sweeping.kept.errands import Errands
from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage


@pytest.mark.parametrize("lost", [None, "another process has taken this run over"])
def test_a_driver_keeps_snapshots_while_the_run_is_its_own(
    lost: str | None, tiny_study: Callable[..., Study], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, lease = tmp_path / "here" / "run", SimpleNamespace(lost=lost)
    run.mkdir(parents=True)

    def save(board: Any, folder: Path) -> None:
        (folder / "leaderboard.json").write_text("{}")

    monkeypatch.setattr(boards, "build_leaderboard", lambda *_, **__: None)
    monkeypatch.setattr(boards, "save_leaderboard", save)
    storage = RunStorage(run, f"file://{tmp_path}/kept")
    with Errands() as errands:
        board = Board(tiny_study(), storage, lease, errands)  # type: ignore[arg-type]
        board.search = SimpleNamespace(records=list)  # type: ignore[assignment]
        board.ended(Record({}))
    assert (tmp_path / "kept" / "run" / "leaderboard.json").exists() == (lost is None)
    assert (run / "leaderboard.json").exists()
