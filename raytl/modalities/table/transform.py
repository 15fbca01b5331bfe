"""From a table's values to what a network reads.

Legend: B rows, N numbers, C categories, F fields of the table that is read.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from pydantic import PositiveInt, ValidationError, model_validator

from raytl.config import Frozen
from raytl.errors import DataError
from raytl.modalities.base import Transform
from raytl.modalities.column import Column, Values
from raytl.modalities.table.coding import CategoryFacts, coded, frequent, lookup
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.layout import Layout
from raytl.modalities.table.matching import check_readable
from raytl.modalities.table.scaling import NumberFacts, Scaling, fit_number, scaled
from raytl.rows import Rows


class TransformOptions(Frozen):
    """`transform:` of a source model that reads tables."""

    scaling: Scaling = "standard"  # of numbers: see `scaling.scaled`
    min_count: PositiveInt = 1  # training rows that a category needs to be known


class TableFacts(Frozen):
    """All that a table's transform is made of. `numbers` and `categories` are in the order of
    prepared rows: the scaled numbers, their missing indicators, the codes."""

    options: TransformOptions
    numbers: tuple[NumberFacts, ...]
    categories: tuple[CategoryFacts, ...]
    column: TableColumn  # the table that is read

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [field.name for group in (self.numbers, self.categories) for field in group]
        if len(set(names)) < len(names):
            raise ValueError("two fields have the same name")
        return self


class TableTransform(Transform):
    """Prepared rows are (B, 2·N + C), float32: see `layout.Layout`.

    A missing number becomes the training rows' median, and its indicator 1. Every number has an
    indicator, since a value may be missing later that never was in training rows; what networks
    multiply indicators with starts at 0, so that one which was never 1 in training changes nothing.
    A category that is not known has the code 0, a missing one 1.

    Fields are found by name. Those that the table read lacks are missing in every row; those that
    it has besides are not read.
    """

    def __init__(self, facts: TableFacts) -> None:
        self._facts = facts
        place = {field.name: i for i, field in enumerate(facts.column.fields)}
        listed = {field.name: field.categories for field in facts.column.fields}
        # Each with its place in the table's rows; None: the table lacks it
        self._numbers = [(number, place.get(number.name)) for number in facts.numbers]
        self._categories = [
            (lookup(category, listed.get(category.name, ())), place.get(category.name))
            for category in facts.categories
        ]

    @property
    def layout(self) -> Layout:
        """Where each field stands in prepared rows."""
        return Layout(
            tuple(number.name for number in self._facts.numbers),
            tuple((category.name, category.known) for category in self._facts.categories),
        )

    @property
    def column(self) -> TableColumn:
        """The table that is read."""
        return self._facts.column

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of fields that the network reads, but the table lacks."""
        names = {field.name for field in self.column.fields}
        own = [*self.layout.numbers, *(name for name, _ in self.layout.categories)]
        return tuple(name for name in own if name not in names)

    def for_column(self, column: Column) -> "TableTransform":
        """Return the same transform for rows of another table, whose fields and categories may be
        others and in another order. Raises ModelError where no field is shared, or one is of
        another kind."""
        assert isinstance(column, TableColumn)
        check_readable(self.as_column(), column)
        return TableTransform(self._facts.model_copy(update={"column": column}))

    def as_column(self) -> TableColumn:
        """Return the table that the network knows: its fields, and known categories ("?" where
        there are none)."""
        numbers = [Field(name=n.name, kind="number") for n in self._facts.numbers]
        categories = [
            Field(name=c.name, kind="category", categories=c.known or ("?",))
            for c in self._facts.categories
        ]
        return TableColumn(fields=(*numbers, *categories))

    def extended(
        self, column: TableColumn, values: Values, *, keep_lacking: bool = False
    ) -> "TableTransform":
        """Return a transform for another table, fitted to `values` of its training rows where this
        one knows nothing of a field.

        Shared fields keep their scale and codes, so that weights which are transferred (see
        `grafting.graft_fields`) go on meaning the same; categories that are new get codes behind
        those known, and a number that was constant is fitted anew. Fields that `column` lacks are
        left out, unless `keep_lacking`: then one network can read both tables. Raises ModelError as
        `for_column` does.
        """
        check_readable(self.as_column(), column)
        fresh = fit_table(column, values, self._facts.options)._facts
        own_numbers = {n.name: n for n in self._facts.numbers}
        numbers = {n.name: _kept(own_numbers.get(n.name), n) for n in fresh.numbers}
        own_categories = {c.name: c for c in self._facts.categories}
        categories = {c.name: _joined(own_categories.get(c.name), c) for c in fresh.categories}
        if keep_lacking:
            numbers, categories = own_numbers | numbers, own_categories | categories
        update = {"numbers": tuple(numbers.values()), "categories": tuple(categories.values())}
        return TableTransform(fresh.model_copy(update=update))

    def prepare(self, values: Values) -> Rows:
        """Return float64 (B, F) as float32 (B, 2·N + C)."""
        if values.ndim != 2 or values.shape[1] != len(self.column.fields):
            raise DataError(
                f"rows of {len(self.column.fields)} fields were expected, got {values.shape}"
            )
        nowhere = np.full(len(values), np.nan)
        out = np.empty((len(values), self.layout.width), np.float32)
        n = len(self._numbers)
        for i, (facts, place) in enumerate(self._numbers):
            given = nowhere if place is None else values[:, place]
            missing = np.isnan(given)
            out[:, i] = scaled(facts, np.where(missing, facts.median, given))
            out[:, n + i] = missing
        for i, (codes, place) in enumerate(self._categories, 2 * n):
            out[:, i] = coded(codes, nowhere if place is None else values[:, place])
        return torch.from_numpy(out)

    def facts(self) -> dict[str, Any]:
        return self._facts.model_dump(mode="json")

    def example(self, rows: int) -> Rows:
        return torch.zeros(rows, self.layout.width)


def _kept(own: NumberFacts | None, fresh: NumberFacts) -> NumberFacts:
    return fresh if own is None or own.scale == 0 else own


def _joined(own: CategoryFacts | None, fresh: CategoryFacts) -> CategoryFacts:
    known = own.known if own else ()
    new = tuple(category for category in fresh.known if category not in set(known))
    return CategoryFacts(name=fresh.name, known=known + new)


def fit_table(column: TableColumn, values: Values, options: TransformOptions) -> TableTransform:
    """Fit a transform to training rows, float64 (N, F)."""
    numbers, categories = [], []
    for place, field in enumerate(column.fields):
        if field.kind == "number":
            numbers.append(fit_number(field.name, values[:, place], options.scaling))
        else:
            known = tuple(frequent(field, values[:, place], options.min_count))
            categories.append(CategoryFacts(name=field.name, known=known))
    return TableTransform(
        TableFacts(
            options=options, numbers=tuple(numbers), categories=tuple(categories), column=column
        )
    )


def table_transform(facts: Mapping[str, Any]) -> TableTransform:
    """Return the transform that `facts` were taken of; raises ValueError, a sentence."""
    try:
        return TableTransform(TableFacts.model_validate(dict(facts)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"a table's transform has options, numbers, categories and column, but {place}: "
            f"{first['msg'].removeprefix('Value error, ')}"
        ) from None
