"""Rows of unequal lengths: as object arrays of numpy arrays in memory, as lists in Arrow.

Legend: N rows.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from raytl.modalities.column import Read


def as_rows(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return arrays, one a row, as an object array (N,), also where all are of one length."""
    parts = list(rows)
    out = np.empty(len(parts), dtype=object)
    for index, part in enumerate(parts):
        out[index] = part
    return out


def lists_of(rows: np.ndarray, item: pa.DataType) -> pa.LargeListArray:
    """Return rows (T_i, …) as Arrow's lists of `item`: numbers, or fixed_size_list of numbers where
    rows have a second dimension. Large lists: a shard may hold more than 2^31 samples."""
    ends = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    numbers = item.value_type if pa.types.is_fixed_size_list(item) else item
    flat = np.concatenate([np.ravel(row) for row in rows]) if len(rows) else np.empty(0)
    items = pa.array(flat.astype(numbers.to_pandas_dtype(), copy=False))
    if pa.types.is_fixed_size_list(item):
        items = pa.FixedSizeListArray.from_arrays(items, item.list_size)
    return pa.LargeListArray.from_arrays(pa.array(ends), items)


def rows_of(array: pa.LargeListArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all lists, (total, …), and where each list starts and the last one
    ends, (N + 1,), both without a copy."""
    items, shape = array.values, [-1]
    if pa.types.is_fixed_size_list(items.type):
        shape = [-1, items.type.list_size]
        items = items.flatten()
    return items.to_numpy().reshape(shape), array.offsets.to_numpy()


def ragged_reader(arrays: Sequence[pa.LargeListArray]) -> Read:
    """Return what reads rows by number out of the shards' lists, each row a copy."""
    shards = [rows_of(array) for array in arrays]
    firsts = np.cumsum([0, *(len(array) for array in arrays)])

    def read(rows: np.ndarray) -> np.ndarray:
        shard_of = np.searchsorted(firsts, rows, side="right") - 1
        out = np.empty(len(rows), dtype=object)
        for place, (row, shard) in enumerate(zip(rows, shard_of, strict=True)):
            items, starts = shards[shard]
            local = row - firsts[shard]
            out[place] = items[starts[local] : starts[local + 1]].copy()
        return out

    return read


def check_lists(array: pa.LargeListArray, item: str) -> None:
    """Raise ValueError, a sentence, for the first row without an `item` (a step, a sample), or with
    one that is missing or not finite."""
    flat = array.flatten()
    inner = flat.flatten() if pa.types.is_fixed_size_list(flat.type) else flat
    if array.null_count or flat.null_count or inner.null_count:
        raise ValueError("rows without a value")
    items, starts = rows_of(array)
    empty = np.flatnonzero(np.diff(starts) == 0)
    if len(empty):
        raise ValueError(f"row {empty[0]} has no {item}")
    own = items[starts[0] : starts[-1]]
    bad = ~np.isfinite(own).reshape(len(own), -1).all(1)
    if bad.any():
        row = np.searchsorted(starts - starts[0], np.argmax(bad), side="right") - 1
        raise ValueError(f"row {row} has a {item} that is not finite")
