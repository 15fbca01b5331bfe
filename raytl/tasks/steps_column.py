"""Steps to come of a series: several numbers a row, as a target. No torch here.

Legend: N rows, H steps to come.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from raytl.config import TaskName
from raytl.modalities.column import BadRowError, Column, Read, Values
from raytl.modalities.tensors import tensor_reader


class StepsColumn(Column):
    """What a channel of the row's series does next: in memory float64 (N, H), all finite.
    `channel`: its name among the series' channels. `season`: after how many steps it does about the
    same again, as far as anybody knows."""

    is_target: ClassVar[bool] = True
    task: ClassVar[TaskName] = "forecasting"
    kind: Literal["steps"] = "steps"
    horizon: PositiveInt
    channel: str
    season: PositiveInt

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.fixed_shape_tensor(pa.float64(), (self.horizon,))

    @property
    def row_bytes(self) -> int:
        return 8 * self.horizon

    def check(self, values: Values) -> None:
        if values.shape[1:] != (self.horizon,) or values.dtype != np.float64:
            raise ValueError(
                f"steps to come must be float64 ({self.horizon},), got {values.dtype} "
                f"{values.shape[1:]}"
            )
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, step = bad[0].tolist()
            raise BadRowError(
                row, f"steps to come must be finite, but row {{row}} has {values[row, step]}"
            )

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        return tensor_reader(arrays)

    def verify(self, array: pa.Array) -> None:
        super().verify(array)
        self.check(array.to_numpy_ndarray())
