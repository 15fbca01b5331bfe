"""Masks: a class for each pixel.

Legend: N rows, H height, W width.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from raytl.config import TaskName
from raytl.modalities.column import BadRowError, Column, Read, Values
from raytl.modalities.tensors import tensor_reader

VOID = 255  # a pixel without a class, which is neither learnt from nor judged
MOST_CLASSES = 255


class MaskColumn(Column):
    """A class number for each pixel of an image: uint8 (N, H, W) in memory, VOID where a pixel has
    none; `classes[k]` is the name of class k. With `nulls` some rows may have no mask: all VOID."""

    is_target: ClassVar[bool] = True
    task: ClassVar[TaskName] = "segmentation"
    kind: Literal["mask"] = "mask"
    shape: tuple[PositiveInt, PositiveInt]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_CLASSES)]
    nulls: bool = False

    @property
    def may_lack(self) -> bool:
        return self.nulls

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.fixed_shape_tensor(pa.uint8(), self.shape)

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape))

    def check(self, values: Values) -> None:
        if values.shape[1:] != self.shape or values.dtype != np.uint8:
            raise ValueError(
                f"masks must be {self.shape} uint8, got {values.shape[1:]} {values.dtype}"
            )
        bad = np.argwhere((values >= len(self.classes)) & (values != VOID))
        if len(bad):
            row, down, right = bad[0].tolist()
            raise BadRowError(
                row,
                f"pixels must lie in 0..{len(self.classes) - 1} for {len(self.classes)} classes, "
                f"or be {VOID} for none, but row {{row}} has {values[row, down, right]} at "
                f"({right}, {down})",
            )
        if not self.nulls and (empty := np.flatnonzero((values == VOID).all((1, 2)))).size:
            raise BadRowError(int(empty[0]), "row {row} has no pixel with a class")

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        return tensor_reader(arrays)

    def verify(self, array: pa.Array) -> None:
        super().verify(array)
        self.check(array.to_numpy_ndarray())

    def there(self, values: Values) -> np.ndarray:
        return np.asarray((values != VOID).any((1, 2)))

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "shape": list(self.shape), "classes": list(self.classes)}
