"""What is looked at of a study ends no study, and what is missing is said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.sweeping.insight import keeping, previews
from raytl.sweeping.insight.keeping import keep_insight


def fails(*_: Any, **__: Any) -> Any:
    raise RaytlError("the disk is full")


def test_a_full_disk_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tiny_study: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping, "_keep_transferred", fails)
    monkeypatch.setattr(keeping, "telling_rows", fails)
    study: Study = tiny_study()
    board: Any = object()
    confirmation: Any = SimpleNamespace(predictions_of=lambda *_: [])
    said = keep_insight(study, tmp_path, board, confirmation, anew=True)
    assert said == [
        "what was transferred: the disk is full", "test rows to look at: the disk is full"
    ]  # fmt: skip


def test_a_study_without_rows_that_tell_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, tiny_study: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping, "_keep_transferred", lambda *_, **__: [])
    monkeypatch.setattr(keeping, "telling_rows", lambda *_: None)
    board: Any = object()
    confirmation: Any = SimpleNamespace(predictions_of=lambda *_: [])
    assert keep_insight(tiny_study(), tmp_path, board, confirmation, anew=False) == []
    assert (tmp_path / previews.FILE).read_text() == "{}"
