"""A table's fields to predict: numbers and categories as training rows had them.

Legend: N rows, F fields.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from raytl.data.importers.inputs import Bad, Input
from raytl.data.raw.rows import raw_input
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.texts import MISSING, NUMBER, WHOLE, spelled

Place = Callable[[int], str]


def field_rows(
    column: TableColumn, cells: Mapping[str, Sequence[Any]], count: int, place: Place
) -> Input:
    """Return rows of a table for a column: `cells` by field, as Python has them. A row is bad that
    has a word where a number is needed, or a number that is not finite; what is missing is missing,
    a category that training rows had not is one more."""
    values_NF = np.empty((count, len(column.fields)))
    fields, wrong = [], dict[int, str]()
    for number, field in enumerate(column.fields):
        if field.kind == "category":
            field, values_NF[:, number] = _codes(field, cells[field.name])
        else:
            values_NF[:, number], odd = _numbers(cells[field.name])
            wrong = {row: f"column '{field.name}' {what}" for row, what in odd.items()} | wrong
        fields.append(field)
    items = [
        Bad(f"{place(row)}: {wrong[row]}") if row in wrong else values_F
        for row, values_F in enumerate(values_NF)
    ]
    return raw_input(TableColumn(fields=tuple(fields)), items, np.stack)


def _numbers(cells: Sequence[Any]) -> tuple[np.ndarray, dict[int, str]]:
    """Return cells as numbers (N,), NaN where one is missing or wrong, and what is wrong by row."""
    read = [_number(cell) for cell in cells]
    wrong = {row: what for row, what in enumerate(read) if isinstance(what, str)}
    return np.array([math.nan if isinstance(one, str) else one for one in read]), wrong


def _number(cell: Any) -> float | str:
    """Return a cell as a number, NaN where it is missing, or what is wrong with it."""
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        word = cell.strip()
        if word.lower() in MISSING:
            return math.nan
        if not NUMBER.fullmatch(word):
            return f"has '{word[:40]}' where a number is needed; leave it empty if it is missing"
        cell = float(word)
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return f"has {type(cell).__name__} {cell!r:.40} where a number is needed"
    return (
        "has an infinite number; leave it empty if it is missing" if math.isinf(number) else number
    )


def _codes(field: Field, cells: Sequence[Any]) -> tuple[Field, np.ndarray]:
    """Return a field with the categories that are new behind those known, and each cell's number
    (N,), NaN where it is missing."""
    known = frozenset(field.categories)
    words = [_word(cell, known) for cell in cells]
    new = sorted({word for word in words if word and word not in known})
    categories = (*field.categories, *new)
    codes = {None: math.nan} | {name: float(code) for code, name in enumerate(categories)}
    found = field.model_copy(update={"categories": categories}) if new else field
    return found, np.array([codes[word] for word in words])


def _word(cell: Any, known: frozenset[str]) -> str | None:
    """Return a cell as a category's name, spelled as it is among the `known` ones: 1.0 may be "1"
    there, and "1" the number 1."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    if not isinstance(cell, str):
        return spelled(cell)
    word = cell.strip()
    if word.lower() in MISSING:
        return None
    if word not in known and NUMBER.fullmatch(word):
        plain = spelled(int(word) if WHOLE.fullmatch(word) else float(word))
        return plain if plain in known else word
    return word
