"""A column: one named part of a row, as `dataset.json` describes it and shards hold it. No torch
here: what is wrong with a dataset is said before it is loaded."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from raytl.config import TaskName

Values = Any  # a column's rows in memory, rows first; which type it is, the column's class says
Read = Callable[[np.ndarray], Values]  # row numbers within a split, int64 → their values


class BadRowError(ValueError):
    """A row whose value does not fit; `text` says why, with {row} where its number belongs."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(text.format(row=row))
        self.row, self.text = row, text

    def at(self, place: int) -> str:
        """Return the sentence with the number that the row has elsewhere."""
        return self.text.format(row=place)


class Column(BaseModel):
    """What every row of a dataset has in this column. Frozen, ready for JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_target: ClassVar[bool] = False
    # Of a target: what tells its rows apart when some are held out or labelled. Rows of classes and
    # values have a number each, which is held in memory; of others, "rows", a target is read with
    # its row.
    by: ClassVar[Literal["classes", "values", "rows"]] = "rows"
    task: ClassVar[TaskName | None] = None  # that a target asks for
    kind: str

    @property
    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """How shards hold it."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """About how many bytes a row takes, at least 1: how many rows a shard gets."""

    @property
    def may_lack(self) -> bool:
        """Of a target: whether some rows may have none."""
        return False

    @abstractmethod
    def check(self, values: Values) -> None:
        """Raise BadRowError for the first row that does not fit, or ValueError, a sentence, where
        none does."""

    @abstractmethod
    def to_arrow(self, values: Values) -> pa.Array:
        """Return checked values as shards hold them."""

    @abstractmethod
    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        """Return what reads rows by number out of a split's mapped arrays, one a shard. Values are
        copies: the caller may change them."""

    def verify(self, array: pa.Array) -> None:
        """Raise ValueError, a sentence, where stored values are not what the column says. By
        default there must be a value in every row."""
        if array.null_count:
            raise ValueError("rows without a value")

    def there(self, values: Values) -> np.ndarray:
        """Return which of these rows have a target, bool (N,), of a column that some may lack and
        that is read row by row."""
        return np.ones(len(values), dtype=bool)

    def converted(self, values: Values, of: "Column") -> Values:
        """Return values of the column `of`, which is of the same kind, as this one holds them."""
        return values

    def joined(self, other: "Column") -> "Column":
        """Return a column that can hold the rows of both; `other` is of the same kind."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return what a person wants to see of it, ready for JSON."""
        return self.model_dump(mode="json")
