"""Target columns, which tasks are about. No torch here.

Legend: N rows.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError, field_validator

from raytl.config import TaskName
from raytl.errors import DataError
from raytl.modalities.column import BadRowError, Column, Read, Values

NO_LABEL = -1  # how a row without a label stands among class numbers in memory


def has_target(targets: np.ndarray) -> np.ndarray:
    """Return which rows have a target, bool (N,), of class numbers or values."""
    return ~np.isnan(targets) if targets.dtype.kind == "f" else targets != NO_LABEL


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of values, float64 of any shape: exactly 0 where there is none,
    or all are alike. Raises DataError where values that differ have none as a number."""
    if not values.size or values.min() == values.max():  # rounding may give a little more
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(values.std())
    if not 0 < found < np.inf:
        raise DataError(
            "target values must have squares that float64 holds, but they go from "
            f"{values.min():g} to {values.max():g}; give them in another unit"
        )
    return found


class LabelColumn(Column):
    """Class numbers; `classes[k]` is the name of class k. In memory int64 (N,). With `nulls` some
    rows may have no label: NO_LABEL."""

    is_target: ClassVar[bool] = True
    by: ClassVar[Literal["classes", "values", "rows"]] = "classes"
    task: ClassVar[TaskName] = "classification"
    kind: Literal["label"] = "label"
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    nulls: bool = False

    @field_validator("classes")
    @classmethod
    def _names_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            name, times = Counter(classes).most_common(1)[0]
            raise ValueError(f"classes must differ from each other, but {times} are '{name}'")
        return classes

    @property
    def may_lack(self) -> bool:
        return self.nulls

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.int64()

    @property
    def row_bytes(self) -> int:
        return 8

    def check(self, values: Values) -> None:
        least = NO_LABEL if self.nulls else 0
        bad = np.flatnonzero((values < least) | (values >= len(self.classes)))
        if len(bad):
            raise BadRowError(
                int(bad[0]),
                f"labels must lie in 0..{len(self.classes) - 1} for {len(self.classes)} classes, "
                f"but row {{row}} has {values[bad[0]]}",
            )

    def to_arrow(self, values: Values) -> pa.Array:
        numbers = values.astype(np.int64)
        return pa.array(numbers, mask=numbers == NO_LABEL if self.nulls else None)

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        every_N = np.concatenate([np.from_dlpack(_filled(array)) for array in arrays])
        return lambda rows: every_N[rows]

    def verify(self, array: pa.Array) -> None:
        if not self.nulls:
            super().verify(array)
        labels, count = np.from_dlpack(_filled(array)), len(self.classes)
        bad = np.flatnonzero((labels < (NO_LABEL if self.nulls else 0)) | (labels >= count))
        if len(bad):
            raise ValueError(
                f"labels must lie in 0..{count - 1} for the {count} classes of dataset.json, but "
                f"row {bad[0]} has {labels[bad[0]]}"
            )


def _filled(array: pa.Array) -> pa.Array:
    return pc.fill_null(array, NO_LABEL) if array.null_count else array


AColumn = TypeVar("AColumn", bound=Column)


def stored_column(kind: type[AColumn], **facts: Any) -> AColumn:
    """Return a column of what a task wrote down of it. Raises ValueError, a sentence, where that is
    none."""
    try:
        return kind.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


class ValueColumn(Column):
    """A number a row. In memory float64 (N,). With `nulls` some rows may have none: NaN."""

    is_target: ClassVar[bool] = True
    by: ClassVar[Literal["classes", "values", "rows"]] = "values"
    task: ClassVar[TaskName] = "regression"
    kind: Literal["value"] = "value"
    nulls: bool = False

    @property
    def may_lack(self) -> bool:
        return self.nulls

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.float64()

    @property
    def row_bytes(self) -> int:
        return 8

    def check(self, values: Values) -> None:
        fine = np.isfinite(values) | (np.isnan(values) if self.nulls else False)
        bad = np.flatnonzero(~fine)
        if len(bad):
            raise BadRowError(
                int(bad[0]),
                f"target values must be finite numbers, but row {{row}} has {values[bad[0]]}",
            )

    def to_arrow(self, values: Values) -> pa.Array:
        numbers = values.astype(np.float64)
        return pa.array(numbers, mask=np.isnan(numbers) if self.nulls else None)

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        every_N = np.concatenate([a.to_numpy(zero_copy_only=False) for a in arrays])
        return lambda rows: every_N[rows]

    def verify(self, array: pa.Array) -> None:
        if not self.nulls:
            super().verify(array)
        self.check(array.to_numpy(zero_copy_only=False))

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind}
