"""Columns of images.

Legend: N rows, H height, W width, C channels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from raytl.modalities.column import Column, Read, Values


class ImageColumn(Column):
    """Tensors of one shape (H, W, C); in memory (N, H, W, C). Stored so, they are channels-last
    tensors, with no copy, once they are permuted to C × H × W."""

    kind: Literal["image"] = "image"
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    dtype: Literal["uint8", "float32"]

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.fixed_shape_tensor(pa.from_numpy_dtype(self.dtype), self.shape)

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def check(self, values: Values) -> None:
        if values.shape[1:] != self.shape or values.dtype != np.dtype(self.dtype):
            raise ValueError(
                f"images must be {self.shape} {self.dtype}, as the first are, got "
                f"{values.shape[1:]} {values.dtype}; --size makes all of one shape"
            )
        if self.dtype == "float32" and not np.isfinite(values).all():
            raise ValueError("images must be finite, but there is a NaN or infinity")

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        shards = [array.to_numpy_ndarray() for array in arrays]
        ends = np.cumsum([len(shard) for shard in shards])

        def read(rows: np.ndarray) -> np.ndarray:
            if len(shards) == 1:
                return shards[0][rows]
            shard_of = np.searchsorted(ends, rows, side="right")
            out = np.empty((len(rows), *self.shape), shards[0].dtype)
            for shard in np.unique(shard_of):
                here = np.flatnonzero(shard_of == shard)
                out[here] = shards[shard][rows[here] - (ends[shard] - len(shards[shard]))]
            return out

        return read
