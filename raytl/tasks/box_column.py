"""Boxes: what is where in an image.

Legend: N rows, n boxes of a row, H height, W width.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from raytl.config import TaskName
from raytl.modalities.column import BadRowError, Column, Read, Values
from raytl.modalities.ragged import as_rows, lists_of, ragged_reader

NUMBERS = 5  # of a box: x1, y1, x2, y2 in pixels of the stored image, its class
EMPTY = np.empty((0, NUMBERS), np.float32)  # a row without a box


class BoxColumn(Column):
    """Boxes of an image of `shape` (H, W): in memory an array of objects (N,), each float32
    (n, 5), n >= 0: left, top, right, bottom in pixels, 0 <= x1 < x2 <= W and 0 <= y1 < y2 <= H, and
    the class number; `classes[k]` is the name of class k. A row without a box is an image without
    objects; with `nulls` some rows may not be labelled at all: None."""

    is_target: ClassVar[bool] = True
    task: ClassVar[TaskName] = "detection"
    kind: Literal["boxes"] = "boxes"
    shape: tuple[PositiveInt, PositiveInt]
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    nulls: bool = False

    @property
    def may_lack(self) -> bool:
        return self.nulls

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.large_list(pa.list_(pa.float32(), NUMBERS))

    @property
    def row_bytes(self) -> int:
        return 16 * NUMBERS * 4  # boxes of a row, about

    def check(self, values: Values) -> None:
        for row, boxes in enumerate(values):
            fault = self._fault(boxes)
            if fault:
                raise BadRowError(row, f"row {{row}}: {fault}")

    def _fault(self, boxes: Any) -> str | None:
        """Return what is wrong with a row's boxes."""
        if boxes is None:
            return None if self.nulls else "it has no boxes, not even an empty list of them"
        if np.shape(boxes)[1:] != (NUMBERS,) or boxes.dtype != np.float32:
            return f"boxes must be float32 (n, {NUMBERS}), got {boxes.dtype} {np.shape(boxes)}"
        if not np.isfinite(boxes).all():
            return "a box has a number that is not finite"
        height, width = self.shape
        x1, y1, x2, y2, k = boxes.T
        inside = (x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)
        if not inside.all():
            at = ", ".join(f"{number:g}" for number in boxes[np.argmin(inside), :4])
            return (
                f"a box must have an area and lie within {width} x {height} pixels, but one is "
                f"({at})"
            )
        named = (k >= 0) & (k < len(self.classes)) & (k == np.round(k))
        if not named.all():
            return (
                f"classes must lie in 0..{len(self.classes) - 1} for {len(self.classes)} classes, "
                f"but a box has {k[np.argmin(named)]:g}"
            )
        return None

    def to_arrow(self, values: Values) -> pa.Array:
        lists = lists_of(
            as_rows(EMPTY if boxes is None else boxes for boxes in values),
            self.arrow_type.value_type,
        )
        missing = np.array([boxes is None for boxes in values], dtype=bool)
        if not missing.any():
            return lists
        return pa.LargeListArray.from_arrays(lists.offsets, lists.values, mask=pa.array(missing))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        read_lists = ragged_reader(arrays)
        missing_N = np.concatenate([a.is_null().to_numpy(zero_copy_only=False) for a in arrays])

        def read(rows: np.ndarray) -> np.ndarray:
            found = read_lists(rows)
            found[missing_N[rows]] = None
            return found

        return read

    def verify(self, array: pa.Array) -> None:
        if not self.nulls:
            super().verify(array)
        self.check(self.reader([array])(np.arange(len(array))))

    def there(self, values: Values) -> np.ndarray:
        return np.array([boxes is not None for boxes in values], dtype=bool)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "shape": list(self.shape), "classes": list(self.classes)}
