"""Work on many rows in batches that memory can hold."""

import gc
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from raytl.errors import TrainingError

MOST_ROWS = 256  # of a batch
MOST_VALUES = 2**24  # of what a batch gives a network: activations are many times as large
# How torch's allocator on the CPU, which has no class of error for it, speaks of memory.
REFUSED = re.compile(r"out of memory|can't allocate memory|not enough memory", re.I)

Result = TypeVar("Result")


def rows_at_once(values: int) -> int:
    """Return how many rows a batch has, of `values` numbers each."""
    return max(1, min(MOST_ROWS, MOST_VALUES // max(1, values)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory ran out, of a GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and REFUSED.search(str(error)) is not None


def in_batches(
    rows: range, size: int, run: Callable[[range], Result]
) -> Iterator[tuple[range, Result]]:
    """Yield what `run` gives of `rows`, batch after batch of `size` rows, the last one shorter,
    each with its rows.

    Where memory runs out, batches have half as many rows from there on. Raises TrainingError where
    it does with one row.
    """
    start = rows.start
    while start < rows.stop:
        batch = range(start, min(start + size, rows.stop))
        found, refused = _tried(batch, run)
        if found is not None:
            yield batch, found[0]
            start = batch.stop
        elif len(batch) == 1:
            raise TrainingError(
                f"prefix features: out of memory with one row at once ({refused}); take a smaller "
                "source model or input_size, or a machine with more memory"
            )
        else:
            size = len(batch) // 2


def _tried(batch: range, run: Callable[[range], Result]) -> tuple[tuple[Result] | None, str | None]:
    """Return what `run` gives, or what it said where memory ran out. The error itself goes, and
    with it what its traceback holds of the batch's memory."""
    try:
        return (run(batch),), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        refused = " ".join(str(error).split())[:120] or type(error).__name__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None, refused
