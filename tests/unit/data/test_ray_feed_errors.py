"""What a task of the Ray Data feed raises is raised where its rows are read, as what it was."""

import traceback
from typing import Any

import numpy as np
import pytest

from raytl.data.ray_feed import READ, ROWS, _given, _opened
from raytl.errors import DataError, RaytlError
from raytl.packages import source_digest
from raytl.rows import Given
from raytl.sweeping.on_ray.faults import Kind, kind_of

PLAN = np.arange(6).reshape(3, 2)


class OddError(Exception):
    """One that is no more whole once it was pickled."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(f"row {row}: {why}")


class Faulty:
    """Rows of which those from the fifth on cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def given(self, rows: np.ndarray) -> Any:
        if rows.max() >= 4:
            raise self.error
        return rows.tolist()


def read(error: Exception, raytl: str | None = None) -> list[Given]:
    inputs: Any = {"image": Faulty(error)}
    blocks = [PLAN[:2], PLAN[2:]]
    told = [_given(raytl or source_digest(), inputs, None, {ROWS: block}) for block in blocks]
    assert all(isinstance(one, bytes) for block in told for one in block[READ])
    return [given["image"] for given, _ in _opened(told)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("a bug"), "doubtful"),
        (DataError("bad rows"), "doubtful"),
        (OSError("cannot read"), "machine"),
        (OddError(4, "too long"), "doubtful"),
    ],
)
def test_what_a_task_raises_is_raised_in_the_trial(error: Exception, kind: Kind) -> None:
    with pytest.raises(Exception, match=str(error)) as raised:
        read(error)
    assert kind_of(raised.value) == kind
    assert "in a data task on" in "".join(traceback.format_exception(raised.value))


def test_rows_before_it_are_read() -> None:
    inputs: Any = {"image": Faulty(ValueError("a bug"))}
    told = [_given(source_digest(), inputs, None, {ROWS: PLAN[[step]]}) for step in range(3)]
    rows = _opened(told)
    assert [next(rows)[0]["image"] for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="a bug"):
        next(rows)


def test_another_raytl_reads_nothing() -> None:
    with pytest.raises(RaytlError, match="raytl here is not the driver's"):
        read(ValueError("a bug"), raytl="f" * 64)
