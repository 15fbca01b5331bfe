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
from raytl.modalities.tensors import tensor_reader


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
        return tensor_reader(arrays)
