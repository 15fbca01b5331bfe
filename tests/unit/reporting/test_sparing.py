"""What is only looked at ends no study."""

from typing import Any

import pytest

from raytl.reporting.sparing import Sparing, spared
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.asked_and_told import Listener

RECORD = Record({"name": "trial-00000"})


class Full(Listener):
    """Notes what it is told of, until the disk is full."""

    def __init__(self, most: int) -> None:
        self.told: list[Any] = []
        self._most = most

    def settled(self, record: Record) -> None:
        if len(self.told) == self._most:
            raise OSError(28, "No space left on device")
        self.told.append(record)


def test_a_listener_is_told_of_all_while_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    full = Full(most=9)
    sparing = Sparing(full, "no files")
    for _ in range(3):
        sparing.settled(RECORD)
        sparing.ended(RECORD)
        sparing.reported(RECORD.config, {})
    assert len(full.told) == 3
    assert capsys.readouterr().err == ""


def test_one_that_fails_is_told_no_more_with_one_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = Full(most=1)
    sparing = Sparing(full, "TensorBoard's files are written no more")
    for _ in range(4):
        sparing.settled(RECORD)
    assert len(full.told) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: TensorBoard's files are written no more: [Errno 28] No space")


def test_a_warning_says_what_brings_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    with spared("the report is not written", "`raytl report RUN` tries again"):
        raise ValueError("no\nsuch   row")
    said = "warning: the report is not written: no such row; `raytl report RUN` tries again\n"
    assert capsys.readouterr().err == said


def test_ctrl_c_is_not_spared() -> None:
    with pytest.raises(KeyboardInterrupt), spared("nothing"):
        raise KeyboardInterrupt
