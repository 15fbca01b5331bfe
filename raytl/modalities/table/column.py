"""Columns of a table's fields.

Legend: N rows, F fields.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Checked

from raytl.modalities.column import BadRowError, Column, Read, Values

FieldKind = Literal["number", "category"]
Name = Annotated[str, Checked(min_length=1)]
# Codes pass through float32, which holds whole numbers up to 2^24; two are for what is not known.
MOST_CATEGORIES = 2**24 - 2


class Field(BaseModel):
    """One field of a row: a number, or one of `categories`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    kind: FieldKind
    categories: tuple[Name, ...] = ()  # of a category alone; their order is that of the codes

    @model_validator(mode="after")
    def _has_categories(self) -> Self:
        if self.kind == "number" and self.categories:
            raise ValueError(f"a number has no categories, but '{self.name}' has some")
        if self.kind == "category" and not 0 < len(self.categories) <= MOST_CATEGORIES:
            raise ValueError(
                f"a category field has 1 to {MOST_CATEGORIES} categories, but '{self.name}' has "
                f"{len(self.categories)}"
            )
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"the categories of '{self.name}' must differ from each other")
        return self


class TableColumn(Column):
    """Rows of fields; in memory float64 (N, F): numbers as they are, a category as its place in
    `categories`, NaN where a value is missing."""

    kind: Literal["table"] = "table"
    fields: Annotated[tuple[Field, ...], Checked(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        name, times = Counter(field.name for field in self.fields).most_common(1)[0]
        if times > 1:
            raise ValueError(f"fields must have different names, but {times} are '{name}'")
        return self

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.fixed_shape_tensor(pa.float64(), (len(self.fields),))

    @property
    def row_bytes(self) -> int:
        return 8 * len(self.fields)

    def check(self, values: Values) -> None:
        """Raise BadRowError for an infinite number or a code that is no place in `categories`,
        ValueError for another shape or dtype."""
        if values.dtype != np.float64 or values.shape[1:] != (len(self.fields),):
            raise ValueError(
                f"a table's rows must be {len(self.fields)} float64 each, a field a value, got "
                f"{values.shape[1:]} {values.dtype}"
            )
        for place, field in enumerate(self.fields):
            _check_field(field, values[:, place])

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        shards = [array.to_numpy_ndarray() for array in arrays]
        ends = np.cumsum([len(shard) for shard in shards])

        def read(rows: np.ndarray) -> np.ndarray:
            out = np.empty((len(rows), len(self.fields)))
            shard_of = np.searchsorted(ends, rows, side="right")
            for shard in np.unique(shard_of):
                here = np.flatnonzero(shard_of == shard)
                out[here] = shards[shard][rows[here] - (ends[shard] - len(shards[shard]))]
            return out

        return read

    def verify(self, array: pa.Array) -> None:
        super().verify(array)
        self.check(array.to_numpy_ndarray())

    def converted(self, values: Values, of: Column) -> Values:
        """Return rows of the table `of` with this one's fields, by name. What this one cannot hold
        is missing: categories it has not, fields that `of` lacks or has of another kind."""
        assert isinstance(of, TableColumn)
        places = {(field.name, field.kind): i for i, field in enumerate(of.fields)}
        out = np.full((len(values), len(self.fields)), np.nan)
        for i, field in enumerate(self.fields):
            place = places.get((field.name, field.kind))
            if place is not None:
                out[:, i] = _converted(values[:, place], of.fields[place], field)
        return out

    def joined(self, other: Column) -> "TableColumn":
        """Return a table that can hold the rows of both: the fields and categories of `other` stand
        behind this one's. A field of another kind in `other` is left out."""
        assert isinstance(other, TableColumn)
        theirs = {field.name: field for field in other.fields}
        fields = [_joined(field, theirs.pop(field.name, field)) for field in self.fields]
        return TableColumn(fields=(*fields, *theirs.values()))

    def describe(self) -> dict[str, Any]:
        """Return the names of the numbers, and of the categories with how many each has."""
        return {
            "kind": self.kind,
            "numbers": [field.name for field in self.fields if field.kind == "number"],
            "categories": {
                field.name: len(field.categories)
                for field in self.fields
                if field.kind == "category"
            },
        }


def _converted(values_N: np.ndarray, of: Field, to: Field) -> np.ndarray:
    if to.kind == "number":
        return values_N
    code = {category: float(i) for i, category in enumerate(to.categories)}
    codes = np.array([*(code.get(category, np.nan) for category in of.categories), np.nan])
    return codes[np.where(np.isnan(values_N), len(of.categories), values_N).astype(np.int64)]


def _joined(field: Field, other: Field) -> Field:
    new = [category for category in other.categories if category not in set(field.categories)]
    if field.kind != other.kind or not new:
        return field
    return field.model_copy(update={"categories": (*field.categories, *new)})


def _check_field(field: Field, values_N: np.ndarray) -> None:
    if field.kind == "number":
        _refuse(field, values_N, np.isinf(values_N), "must be finite or missing")
        return
    with np.errstate(invalid="ignore"):
        outside = (values_N < 0) | (values_N >= len(field.categories))
        uneven = ~np.isnan(values_N) & (values_N != np.floor(values_N))
    law = f"is a category, coded 0 to {len(field.categories) - 1} or missing"
    _refuse(field, values_N, outside | uneven, law)


def _refuse(field: Field, values_N: np.ndarray, bad_N: np.ndarray, law: str) -> None:
    if bad_N.any():
        row = int(bad_N.argmax())
        name = field.name.replace("{", "{{").replace("}", "}}")
        raise BadRowError(row, f"field '{name}' {law}, but row {{row}} has {values_N[row]:g}")
