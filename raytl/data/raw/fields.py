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
    words = {f.name: _words(f, cells[f.name]) for f in column.fields if f.kind == "category"}
    fields = [_with_new(f, words[f.name]) if f.name in words else f for f in column.fields]
    codes = {f.name: {c: float(i) for i, c in enumerate(f.categories)} for f in fields}
    items: list[np.ndarray | Bad] = []
    for row in range(count):
        values, why = [], None
        for f in fields:
            value: float | str
            if f.name in words:
                word = words[f.name][row]
                value = math.nan if word is None else codes[f.name][word]
            else:
                value = _number(cells[f.name][row])
            if isinstance(value, str):
                why = why or f"column '{f.name}' {value}"
                continue
            values.append(value)
        items.append(Bad(f"{place(row)}: {why}") if why else np.array(values, dtype=np.float64))
    return raw_input(TableColumn(fields=tuple(fields)), items, np.stack)


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


def _words(field: Field, cells: Sequence[Any]) -> list[str | None]:
    known = frozenset(field.categories)
    return [_word(cell, known) for cell in cells]


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


def _with_new(field: Field, words: Sequence[str | None]) -> Field:
    """Return a field with the categories that are new behind those known."""
    known = set(field.categories)
    new = sorted({word for word in words if word and word not in known})
    return field.model_copy(update={"categories": (*field.categories, *new)}) if new else field
