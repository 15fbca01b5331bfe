"""Columns of series.

Legend: N rows, T steps of one row, C channels.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field, PositiveInt

from raytl.modalities.column import BadRowError, Column, Read, Values
from raytl.modalities.ragged import as_rows, check_lists, lists_of, ragged_reader
from raytl.modalities.series.channels import channel_places


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"channels must have distinct names, but '{twice}' stands there twice")
    return names


class SeriesColumn(Column):
    """Series of unequal lengths and the same channels: in memory an object array (N,) of float32
    arrays (T, C) with T >= 1, all numbers finite.

    A missing value is refused: whether to carry the last one forward, to interpolate or to drop the
    row changes what a study answers, so it is decided before.
    """

    kind: Literal["series"] = "series"
    channels: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
    typical_steps: PositiveInt = 256  # of a row: how many rows a shard gets

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.large_list(self._step)

    @property
    def _step(self) -> pa.DataType:
        return pa.list_(pa.float32(), len(self.channels))

    @property
    def row_bytes(self) -> int:
        return 4 * len(self.channels) * self.typical_steps

    def check(self, values: Values) -> None:
        for row, series in enumerate(values):
            if series.ndim != 2 or series.shape[1] != len(self.channels):
                raise BadRowError(
                    row,
                    f"a series has a number a step and channel, (T, {len(self.channels)}), but row "
                    f"{{row}} is {series.shape}",
                )
            if series.dtype != np.float32:
                raise BadRowError(row, f"series are float32, but row {{row}} is {series.dtype}")
            if not len(series):
                raise BadRowError(
                    row, "a series has a step or more, but row {row} has none; drop it"
                )
            if not np.isfinite(series).all():
                raise BadRowError(row, self._not_finite(series))

    def _not_finite(self, series: np.ndarray) -> str:
        step, channel = np.argwhere(~np.isfinite(series))[0]
        # Names come from files; braces would be taken for places of the row's number.
        name = self.channels[channel].replace("{", "{{").replace("}", "}}")
        missing = np.isnan(series[step, channel])
        what = "no value (NaN); fill it or drop the row" if missing else "an infinity"
        return (
            f"all values must be finite, but row {{row}}, step {step}, channel '{name}' has {what}"
        )

    def to_arrow(self, values: Values) -> pa.Array:
        return lists_of(values, self._step)

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        return ragged_reader(arrays)

    def verify(self, array: pa.Array) -> None:
        """Raise ValueError where a row has no step, or one that is missing or not finite."""
        check_lists(array, "step")

    def converted(self, values: Values, of: Column) -> Values:
        """Return series of `of` with this column's channels, by name. Raises ModelError where one
        is missing."""
        assert isinstance(of, SeriesColumn)
        places = list(channel_places(self.channels, of.channels))
        return as_rows(series[:, places] for series in values)
