"""Columns of sounds.

Legend: N rows, L samples of one row.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from raytl.modalities.audio.wav import resampled, retyped
from raytl.modalities.column import BadRowError, Column, Read, Values
from raytl.modalities.ragged import as_rows, check_lists, lists_of, ragged_reader


class AudioColumn(Column):
    """Sounds of one channel at one rate: in memory an object array (N,) of arrays (L,) with L >= 1,
    int16 (full scale is ±32768) or float32 (full scale is ±1, and finite)."""

    kind: Literal["audio"] = "audio"
    rate: PositiveInt  # in samples a second
    dtype: Literal["int16", "float32"] = "int16"
    typical_samples: PositiveInt = 32768  # of a row: how many rows a shard gets

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.large_list(pa.from_numpy_dtype(self.dtype))

    @property
    def row_bytes(self) -> int:
        return self.typical_samples * np.dtype(self.dtype).itemsize

    def check(self, values: Values) -> None:
        for row, sound in enumerate(values):
            if sound.ndim != 1 or sound.dtype != np.dtype(self.dtype):
                raise BadRowError(
                    row,
                    f"sounds are {self.dtype} and of one channel, (L,), but row {{row}} is "
                    f"{sound.dtype} {sound.shape}",
                )
            if not len(sound):
                raise BadRowError(
                    row, "a sound has a sample or more, but row {row} has none; drop it"
                )
            if self.dtype == "float32" and not np.isfinite(sound).all():
                sample = np.argmin(np.isfinite(sound))
                raise BadRowError(
                    row, f"sounds must be finite, but row {{row}}, sample {sample} is not"
                )

    def to_arrow(self, values: Values) -> pa.Array:
        return lists_of(values, pa.from_numpy_dtype(self.dtype))

    def reader(self, arrays: Sequence[pa.Array]) -> Read:
        return ragged_reader(arrays)

    def verify(self, array: pa.Array) -> None:
        """Raise ValueError where a row has no sample, or one that is missing or not finite."""
        check_lists(array, "sample")

    def converted(self, values: Values, of: Column) -> Values:
        """Return sounds of `of` at this column's rate and in its type."""
        assert isinstance(of, AudioColumn)
        return as_rows(
            resampled(retyped(sound, self.dtype), of.rate, self.rate) for sound in values
        )
