"""The column that says which rows belong together: a patient's, a speaker's, a site's.

Legend: N rows.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from raytl.modalities.column import BadRowError, Column, Read, Values


class GroupColumn(Column):
    """The number of each row's group, from 0, in memory int64 (N,). Rows of a group never stand on
    both sides where rows are held out or labels drawn."""

    kind: Literal["group"] = "group"
    groups: int  # how many there are in all splits

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.int64()

    @property
    def row_bytes(self) -> int:
        return 8

    def check(self, values: Values) -> None:
        bad = np.flatnonzero((values < 0) | (values >= self.groups))
        if len(bad):
            raise BadRowError(
                int(bad[0]),
                f"groups are numbers from 0 to {self.groups - 1}, but row {{row}} has "
                f"{values[bad[0]]}",
            )

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.array(values.astype(np.int64))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        every_N = np.concatenate([np.from_dlpack(array) for array in arrays])
        return lambda rows: every_N[rows]

    def verify(self, array: pa.Array) -> None:
        super().verify(array)
        self.check(np.from_dlpack(array))

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "groups": self.groups}
