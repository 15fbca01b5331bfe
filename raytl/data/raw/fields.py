"""A table's fields to predict: numbers and categories as training rows had them.

Legend: N rows, F fields.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.features import class_names, named_classes
from raytl.data.importers.inputs import Bad, Input
from raytl.data.raw.rows import RawReading, raw_input
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.texts import BOOLEANS, MISSING, NUMBER, WHOLE, is_missing, spelled

Place = Callable[[int], str]
UNNAMED = ""  # no category is called so


def field_rows(
    column: TableColumn, cells: Mapping[str, Sequence[Any]], count: int, place: Place
) -> Input:
    """Return rows of a table for a column: `cells` by field, as Python has them. A row is bad that
    has a word where a number is needed, a number where names are, or a number that is not finite;
    what is missing is missing, a category that training rows had not is one more."""
    values_NF = np.empty((count, len(column.fields)))
    fields, wrong = [], dict[int, str]()
    for number, field in enumerate(column.fields):
        if field.kind == "category":
            field, values_NF[:, number], odd = _codes(field, cells[field.name])
        else:
            values_NF[:, number], odd = _numbers(cells[field.name])
        wrong = {row: f"column '{field.name}' {what}" for row, what in odd.items()} | wrong
        fields.append(field)
    items = [
        Bad(f"{place(row)}: {wrong[row]}") if row in wrong else values_F
        for row, values_F in enumerate(values_NF)
    ]
    return raw_input(TableColumn(fields=tuple(fields)), items, np.stack)


def named_categories(rows: pa.Table, features: Mapping[str, Any], reading: RawReading) -> pa.Table:
    """Return rows in which the classes that Hugging Face's features name are called so, where the
    model reads categories."""
    tables = [column for column in reading.columns.values() if isinstance(column, TableColumn)]
    wanted = {f.name for column in tables for f in column.fields if f.kind == "category"}
    names = class_names(features)
    return named_classes(rows, {name: names[name] for name in wanted & names.keys()})


def _numbers(cells: Sequence[Any]) -> tuple[np.ndarray, dict[int, str]]:
    """Return cells as numbers (N,), NaN where one is missing or wrong, and what is wrong by row."""
    read = [_number(cell) for cell in cells]
    wrong = {row: what for row, what in enumerate(read) if isinstance(what, str)}
    return np.array([math.nan if isinstance(one, str) else one for one in read]), wrong


def _number(cell: Any) -> float | str:
    """Return a cell as a number, NaN where it is missing, or what is wrong with it."""
    if is_missing(cell):
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


def _codes(field: Field, cells: Sequence[Any]) -> tuple[Field, np.ndarray, dict[int, str]]:
    """Return a field with the categories that are new behind those known, each cell's number (N,),
    NaN where it is missing or wrong, and what is wrong by row."""
    names = Names(field.categories)
    words = [names.of(cell) for cell in cells]
    wrong = {
        row: f"has {cells[row]!r:.40} where training rows had names, such as "
        f"'{field.categories[0][:40]}'; give the name"
        for row, word in enumerate(words)
        if word == UNNAMED
    }
    new = sorted({word for word in words if word} - set(field.categories))
    categories = (*field.categories, *new)
    codes = {None: math.nan, UNNAMED: math.nan}
    codes |= {name: float(code) for code, name in enumerate(categories)}
    found = field.model_copy(update={"categories": categories}) if new else field
    return found, np.array([codes[word] for word in words]), wrong


class Names:
    """The known names of categories, by which cells are spelled: 1.0 may be "1" there, "1" the
    number 1, the number 1 a code "01" (whose zero a reader has dropped), and true "True"."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = frozenset(known)
        self._booleans = {name.lower(): name for name in known if name.lower() in BOOLEANS}
        every = [(float(name), name) for name in known if NUMBER.fullmatch(name)]
        if len(self._booleans) == len(known):
            every = [(float(word == "true"), name) for word, name in self._booleans.items()]
        times = Counter(number for number, _ in every)
        self._by_number = {number: name for number, name in every if times[number] == 1}

    def of(self, cell: Any) -> str | None:
        """Return a cell as a category's name; None where it is missing, UNNAMED for a number where
        no category is one."""
        if is_missing(cell):
            return None
        if isinstance(cell, str):
            return self._of_word(cell.strip())
        if isinstance(cell, bool | np.bool_) and (name := self._of_boolean(str(bool(cell)))):
            return name
        name = spelled(cell)
        if name in self._known or not isinstance(cell, int | float | np.number | np.bool_):
            return name
        return self._by_number.get(float(cell), name) if self._by_number else UNNAMED

    def _of_word(self, word: str) -> str | None:
        if word.lower() in MISSING:
            return None
        if word in self._known:
            return word
        if NUMBER.fullmatch(word):
            plain = spelled(int(word) if WHOLE.fullmatch(word) else float(word))
            return plain if plain in self._known else word
        return self._of_boolean(word) or word

    def _of_boolean(self, word: str) -> str | None:
        return self._booleans.get(word.lower())
