"""Rows of one shape in Arrow: fixed_shape_tensor."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from raytl.modalities.column import Read


def tensor_reader(arrays: Sequence[pa.FixedShapeTensorArray]) -> Read:
    """Return what reads rows by number out of the shards' tensors, as one array (N, …), a copy."""
    shards = [array.to_numpy_ndarray() for array in arrays]
    if len(shards) == 1:
        return lambda index: shards[0][index]
    ends = np.cumsum([len(shard) for shard in shards])

    def read(index: np.ndarray) -> np.ndarray:
        shard_of = np.searchsorted(ends, index, side="right")
        out = np.empty((len(index), *shards[0].shape[1:]), shards[0].dtype)
        for number in np.unique(shard_of):
            rows = np.flatnonzero(shard_of == number)
            start = ends[number] - len(shards[number])
            out[rows] = shards[number][index[rows] - start]
        return out

    return read
