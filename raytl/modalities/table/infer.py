"""What the columns of somebody's table are: numbers or categories.

Legend: N rows, F fields.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from raytl.config import nearest
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.column import Field, FieldKind, TableColumn
from raytl.modalities.table.texts import Texts, is_missing, read_texts, spelled

if TYPE_CHECKING:
    import pandas as pd

LEAVE_OUT = "leave the column out"


def infer(
    table: "pa.Table | pd.DataFrame", overrides: Mapping[str, FieldKind] | None = None
) -> tuple[TableColumn, np.ndarray]:
    """Return what each column is, and the values, float64 (N, F), NaN where one is missing.

    - whole numbers, floats and decimals are numbers, however few values there are: `overrides` says
      where a number stands for a category ("1.0" and 1 are the same one then);
    - true and false are the categories "false" and "true";
    - strings are numbers where all of them can be read so, apart from markers of missing values
      (`texts.MISSING`), else categories, in alphabetical order.

    Read a CSV file with all columns as strings, so that no reader decides before this one. Raises
    ConfigError for an override of a column that is not there, DataError that names the column, and
    the row where there is one, for dates, values of several types, columns without a value,
    infinite numbers, and words among numbers.
    """
    columns = _columns(table)
    overrides = overrides or {}
    for name in overrides:
        if name not in columns:
            raise ConfigError(f"types: no column '{name}'; {nearest(name, list(columns))}")
    found = [_field(name, array, overrides.get(name)) for name, array in columns.items()]
    column = TableColumn(fields=tuple(field for field, _ in found))
    return column, np.stack([values for _, values in found], 1)


def _columns(table: "pa.Table | pd.DataFrame") -> dict[str, pa.Array]:
    names = [str(name) for name in (table.column_names if _is_arrow(table) else table.columns)]
    if not names or not len(table):
        raise DataError(f"a table needs a column and a row, got {len(names)} and {len(table)}")
    name, times = Counter(names).most_common(1)[0]
    if times > 1 or "" in names:
        which = f"{times} are '{name}'" if times > 1 else "one has none"
        raise DataError(f"columns must have different names, but {which}; rename or drop it")
    if _is_arrow(table):
        arrays = [column.combine_chunks() for column in table.columns]
    else:
        arrays = [_of_series(name, table.iloc[:, i]) for i, name in enumerate(names)]
    return dict(zip(names, arrays, strict=True))


def _is_arrow(table: Any) -> bool:
    return isinstance(table, pa.Table)


def _of_series(name: str, series: "pd.Series[Any]") -> pa.Array:
    if series.dtype == object:
        refuse_several_types(name, series.tolist())
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise DataError(f"column '{name}': cannot be read: {error}; {LEAVE_OUT}") from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def refuse_several_types(name: str, values: Sequence[Any]) -> None:
    """Raise DataError for a column of objects that has numbers among words, say, by its rows."""
    first: dict[str, int] = {}  # type → the first row that has it
    for row, value in enumerate(values):
        if is_missing(value):
            continue
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        first.setdefault("number" if is_number else type(value).__name__, row)
        if len(first) > 1:
            told = " and ".join(f"{kind} in row {at}" for kind, at in first.items())
            raise DataError(
                f"column '{name}' must have values of one type, but has {told}; make all of them "
                "strings, or drop the rows"
            )


def _field(name: str, array: pa.Array, override: FieldKind | None) -> tuple[Field, np.ndarray]:
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count == len(array):
        raise _empty(name)
    kind = array.type
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        texts = read_texts(name, array.to_pylist(), override)
    elif kinds.is_boolean(kind):
        texts = _of_booleans(name, array, override)
    elif kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        texts = _spelled(array) if override == "category" else _of_numbers(array)
    elif kinds.is_temporal(kind) and override == "category":
        texts = _spelled(array)
    else:
        raise _of_no_use(name, kind)
    return _made(name, texts)


def _made(name: str, texts: Texts) -> tuple[Field, np.ndarray]:
    values_N = texts.numbers
    if values_N is None:
        categories = tuple(sorted({word for word in texts.words if word is not None}))
        if not categories:
            raise _empty(name)
        code = {category: float(i) for i, category in enumerate(categories)}
        values = [np.nan if word is None else code[word] for word in texts.words]
        return Field(name=name, kind="category", categories=categories), np.array(values)
    if np.isnan(values_N).all():
        raise _empty(name)
    if np.isinf(values_N).any():
        row = int(np.isinf(values_N).argmax())
        raise DataError(
            f"column '{name}': numbers must be finite, but row {row} has {values_N[row]}; replace "
            "it, or leave it empty"
        )
    return Field(name=name, kind="number"), values_N


def _spelled(array: pa.Array) -> Texts:
    return Texts(words=[None if is_missing(v) else spelled(v) for v in array.to_pylist()])


def _of_numbers(array: pa.Array) -> Texts:
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return Texts(numbers=np.array(numbers, np.float64))


def _of_booleans(name: str, array: pa.Array, override: FieldKind | None) -> Texts:
    values = array.to_pylist()
    if override == "number":
        return Texts(numbers=np.array([np.nan if v is None else float(v) for v in values]))
    return Texts(words=[None if value is None else str(value).lower() for value in values])


def _empty(name: str) -> DataError:
    return DataError(f"column '{name}' has no value in any row, so it tells nothing; {LEAVE_OUT}")


def _of_no_use(name: str, kind: pa.DataType) -> DataError:
    if kinds.is_temporal(kind):
        return DataError(
            f"column '{name}' has dates or times ({kind}); make numbers of them (days since a day, "
            f"hour of the day, month), {LEAVE_OUT}, or say that it is a category"
        )
    return DataError(
        f"column '{name}' has {kind}, which is neither number nor category; make strings or "
        f"numbers of it, or {LEAVE_OUT}"
    )
