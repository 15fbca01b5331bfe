"""Batches that memory bounds: halved where it runs out, never more than their bound."""

from typing import Any

import numpy as np
import pytest
import torch

from raytl.errors import TrainingError
from raytl.training.batches import MOST_ROWS, in_batches, rows_at_once


def _of_numpy() -> Exception:
    try:
        np.empty(2**58)
    except MemoryError as error:
        return error
    raise AssertionError("nobody has so much memory")


ERRORS = {
    "a GPU's": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "Python's": MemoryError,
    "torch's on the CPU": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 400 bytes."
    ),
    "NumPy's": _of_numpy,
}


def taken(rows: range, size: int, room: int, error: str = "a GPU's") -> list[tuple[int, int]]:
    """Run batches where memory has room for so many rows; return where each began and ended."""

    def run(batch: range) -> int:
        if len(batch) > room:
            raise ERRORS[error]()
        return sum(batch)

    found = list(in_batches(rows, size, run))
    assert [value for _, value in found] == [sum(batch) for batch, _ in found]
    return [(batch.start, batch.stop) for batch, _ in found]


def test_a_batch_has_so_many_rows_and_the_last_one_the_rest() -> None:
    assert taken(range(5, 16), 4, room=4) == [(5, 9), (9, 13), (13, 16)]
    assert taken(range(3), 4, room=4) == [(0, 3)]
    assert taken(range(0), 4, room=4) == []


@pytest.mark.parametrize("error", list(ERRORS))
def test_batches_are_halved_from_where_memory_runs_out(error: str) -> None:
    assert taken(range(10), 8, room=3, error=error) == [
        (0, 2), (2, 4), (4, 6), (6, 8), (8, 10),
    ]  # fmt: skip


def test_batches_are_halved_down_to_one_row() -> None:
    assert taken(range(3), 256, room=1) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("error", list(ERRORS))
def test_memory_that_has_no_room_for_a_row_is_said_so(error: str) -> None:
    with pytest.raises(TrainingError, match="out of memory with one row at once") as raised:
        taken(range(10), 8, room=0, error=error)
    assert "smaller source model" in str(raised.value) and raised.value.__cause__ is None
    assert len(str(raised.value).splitlines()) <= 3


def test_other_errors_are_passed_on_at_once() -> None:
    calls = list[range]()

    def run(batch: range) -> Any:
        calls.append(batch)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")

    with pytest.raises(RuntimeError, match="mat1"):
        list(in_batches(range(10), 8, run))
    assert calls == [range(8)]


def test_many_values_make_few_rows() -> None:
    assert rows_at_once(3 * 32 * 32) == MOST_ROWS == 256
    assert rows_at_once(3 * 224 * 224) == 111
    assert rows_at_once(3 * 1024 * 1024) == 5
    assert rows_at_once(10**9) == 1
