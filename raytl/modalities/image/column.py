"""Columns of images.

Stored H × W × C: permuted to C × H × W they are channels-last tensors, with no copy.

Legend: N rows, H height, W width, C channels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from raytl.modalities.column import Column, Read


class ImageColumn(Column):
    """Images of one shape (H, W, C): values are arrays images_NHWC, uint8 in 0 … 255 or float32 as
    the network takes them."""

    kind: Literal["image"] = "image"
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    dtype: Literal["uint8", "float32"]

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.fixed_shape_tensor(pa.from_numpy_dtype(self.dtype), self.shape)

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def check(self, values: np.ndarray) -> None:
        """Raise ValueError where images_NHWC have another shape or type, or are not finite."""
        if values.shape[1:] != self.shape or values.dtype != np.dtype(self.dtype):
            raise ValueError(
                f"images must be {self.shape} {self.dtype}, as the first are, "
                f"got {values.shape[1:]} {values.dtype}; --size makes all of one shape"
            )
        if self.dtype == "float32" and not np.isfinite(values).all():
            raise ValueError("images must be finite, but there is a NaN or infinity")

    def to_arrow(self, values: np.ndarray) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        return array_reader(arrays)


def array_reader(arrays: Sequence[pa.Array]) -> Read:
    """Return what reads rows by number out of mapped arrays of fixed shape, one a shard."""
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
