"""Columns of text.

Legend: N rows.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from raytl.modalities.column import BadRowError, Column, Read, Values


class StringColumn(Column):
    """Unicode strings, empty ones included; in memory an array of objects (N,), each a `str`.
    None is no string: a row without a text is another matter than a row whose text is empty."""

    mean_bytes: PositiveInt = 256  # of a row in UTF-8, about; shards are sized by it

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.large_string()

    @property
    def row_bytes(self) -> int:
        return self.mean_bytes + 8  # and its offset

    def check(self, values: Values) -> None:
        if not isinstance(values, np.ndarray) or values.dtype != object or values.ndim != 1:
            raise ValueError(
                "texts must be an array of objects of shape (N,), got "
                f"{getattr(values, 'dtype', type(values).__name__)} {np.shape(values)}"
            )
        for row, value in enumerate(values):
            fault = _fault(value)
            if fault:
                why = fault.replace("{", "{{").replace("}", "}}")
                raise BadRowError(row, f"row {{row}}: texts must be strings, but this {why}")

    def to_arrow(self, values: Values) -> pa.Array:
        return pa.array(values, self.arrow_type)

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        starts = np.cumsum([0, *(len(array) for array in arrays)])

        def read(rows: np.ndarray) -> np.ndarray:
            shard_of = np.searchsorted(starts, rows, side="right") - 1
            out = np.empty(len(rows), dtype=object)
            for shard in np.unique(shard_of):
                here = np.flatnonzero(shard_of == shard)
                # Only the rows asked for leave the mapped file.
                taken = arrays[shard].take(pa.array(rows[here] - starts[shard]))
                out[here] = taken.to_numpy(zero_copy_only=False)
            return out

        return read

    def verify(self, array: pa.Array) -> None:
        """Raise ValueError where there are rows without a text, or bytes that are no UTF-8."""
        super().verify(array)
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise ValueError(f"texts that are no UTF-8 ({str(error).splitlines()[0]})") from None


class TextColumn(StringColumn):
    """Texts that are read."""

    kind: Literal["text"] = "text"


def _fault(value: Any) -> str | None:
    """Return what is wrong with a value as a text."""
    if not isinstance(value, str):
        return f"is {value!r}"[:80] if value is None else f"is of type {type(value).__name__}"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"has half of a surrogate pair, {value[error.start]!r}, at character {error.start}"
    return None
