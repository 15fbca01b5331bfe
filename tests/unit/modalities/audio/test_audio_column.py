"""Columns of sounds: what is refused, and that Arrow gives back what it was given."""

import numpy as np
import pyarrow as pa
import pytest

from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.ragged import as_rows

COLUMN = AudioColumn(rate=8000)
FLOATS = AudioColumn(rate=8000, dtype="float32")


def sounds(*lengths: int, dtype: str = "int16") -> np.ndarray:
    return as_rows(np.arange(n, dtype=dtype) - 10 * n for n in lengths)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_rows_are_read_in_any_order_out_of_several_shards(dtype: str) -> None:
    column, rows = AudioColumn(rate=8000, dtype=dtype), sounds(3, 1, 4, 2, dtype=dtype)
    shards = [column.to_arrow(rows[:3]), column.to_arrow(rows[3:])]
    assert all(shard.type == column.arrow_type for shard in shards)
    order = np.array([3, 0, 2, 2, 1])
    for found, number in zip(column.reader(shards)(order), order, strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, rows[number])


def test_good_rows_pass() -> None:
    COLUMN.check(sounds(1, 5))
    COLUMN.verify(COLUMN.to_arrow(sounds(1, 5)))


@pytest.mark.parametrize(
    ("column", "bad", "says"),
    [
        (COLUMN, np.zeros(0, np.int16), "row 1 has none"),
        (COLUMN, np.zeros((2, 2), np.int16), r"row 1 is int16 \(2, 2\)"),
        (COLUMN, np.zeros(2, np.float32), r"row 1 is float32 \(2,\)"),
        (FLOATS, np.array([0, np.nan], np.float32), "row 1, sample 1 is not"),
    ],
)
def test_the_first_bad_row_is_named(column: AudioColumn, bad: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        column.check(as_rows([*sounds(2, dtype=column.dtype), bad, bad]))


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ([[1.0], []], "row 1 has no sample"),
        ([[1.0], [2.0, np.inf]], "row 1 has a sample that is not finite"),
        ([[1.0], None], "without a value"),
        ([[1.0], [None]], "without a value"),
    ],
)
def test_stored_rows_that_do_not_hold_are_found(lists: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FLOATS.verify(pa.array(lists, FLOATS.arrow_type))


def test_a_row_takes_two_or_four_bytes_a_sample() -> None:
    assert AudioColumn(rate=1, typical_samples=10).row_bytes == 20
    assert AudioColumn(rate=1, typical_samples=10, dtype="float32").row_bytes == 40


def test_another_columns_sounds_get_this_ones_rate_and_type() -> None:
    twice = AudioColumn(rate=16000, dtype="float32")
    found = COLUMN.converted(as_rows([np.full(800, 0.5, np.float32)]), twice)[0]
    assert found.dtype == np.int16 and found.shape == (400,)
    assert np.abs(found[50:-50] - 16384.0).max() < 20
    own = twice.converted(as_rows([np.full(400, -16384, np.int16)]), COLUMN)[0]
    assert own.dtype == np.float32 and own.shape == (800,)
    assert np.abs(own[100:-100] + 0.5).max() < 1e-3


def test_sounds_louder_than_full_scale_do_not_wrap_around() -> None:
    found = COLUMN.converted(as_rows([np.array([1.5, -2.0, 0.25], np.float32)]), FLOATS)[0]
    assert found.tolist() == [32767, -32768, 8192]
