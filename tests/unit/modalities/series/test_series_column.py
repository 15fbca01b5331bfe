"""Columns of series: what is refused, and that Arrow gives back what it was given."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from raytl.errors import ModelError
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn

COLUMN = SeriesColumn(channels=("x", "y"))


def series(*lengths: int) -> np.ndarray:
    """Series of two channels whose numbers count on from row to row."""
    numbers = np.arange(2 * sum(lengths), dtype=np.float32).reshape(-1, 2)
    return as_rows(np.split(numbers, np.cumsum(lengths)[:-1]))


def test_rows_of_one_length_are_still_one_object_a_row() -> None:
    rows = as_rows([np.zeros((3, 2)), np.ones((3, 2))])
    assert rows.shape == (2,) and rows[1].shape == (3, 2)


def test_rows_are_read_in_any_order_out_of_several_shards() -> None:
    rows = series(3, 1, 4, 2, 2)
    shards = [COLUMN.to_arrow(rows[:2]), COLUMN.to_arrow(rows[2:3]), COLUMN.to_arrow(rows[3:])]
    assert all(shard.type == COLUMN.arrow_type for shard in shards)
    order = np.array([4, 0, 3, 2, 1, 4])
    for found, number in zip(COLUMN.reader(shards)(order), order, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rows[number])


def test_a_slice_of_a_shard_reads_as_its_own_rows() -> None:
    rows = series(3, 1, 4)
    read = COLUMN.reader([COLUMN.to_arrow(rows).slice(1, 2)])
    np.testing.assert_array_equal(read(np.array([1]))[0], rows[2])
    np.testing.assert_array_equal(read(np.array([0]))[0], rows[1])


def test_what_is_read_may_be_changed_and_the_shard_stays() -> None:
    read = COLUMN.reader([COLUMN.to_arrow(series(2, 3))])
    read(np.array([0]))[0][:] = -1
    np.testing.assert_array_equal(read(np.array([0]))[0], series(2, 3)[0])


def test_good_rows_pass() -> None:
    COLUMN.check(series(1, 5))
    COLUMN.verify(COLUMN.to_arrow(series(1, 5)))
    COLUMN.verify(COLUMN.to_arrow(series(1, 5, 2)).slice(1))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((0, 2), np.float32), "row 1 has none"),
        (np.zeros((4, 3), np.float32), r"row 1 is \(4, 3\)"),
        (np.zeros(4, np.float32), r"row 1 is \(4,\)"),
        (np.zeros((4, 2)), "row 1 is float64"),
        (np.array([[0, 0], [0, np.nan]], np.float32), "row 1, step 1, channel 'y' has no value"),
        (np.array([[np.inf, 0]], np.float32), "row 1, step 0, channel 'x' has an infinity"),
    ],
)
def test_the_first_bad_row_is_named(bad: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        COLUMN.check(as_rows([*series(2), bad, bad]))


def test_braces_in_a_channels_name_are_no_place_for_a_number() -> None:
    column = SeriesColumn(channels=("a{row}{b",))
    with pytest.raises(ValueError, match=r"row 0, step 0, channel 'a\{row\}\{b'"):
        column.check(as_rows([np.full((1, 1), np.nan, np.float32)]))


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ([[[1, 2]], []], "row 1 has no step"),
        ([[[1, 2]], [[1, 2], [np.inf, 0]]], "row 1 has a step that is not finite"),
        ([[[1, 2]], None], "without a value"),
        ([[[1, 2]], [None]], "without a value"),
        ([[[1, 2]], [[1, None]]], "without a value"),
    ],
)
def test_stored_rows_that_do_not_hold_are_found(lists: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        COLUMN.verify(pa.array(lists, COLUMN.arrow_type))


def test_a_bad_row_of_a_sliced_shard_has_its_number_there() -> None:
    array = pa.array([[[1, 2]], [[3, 4]], [[np.nan, 0]]], COLUMN.arrow_type).slice(1)
    with pytest.raises(ValueError, match="row 1 has a step"):
        COLUMN.verify(array)


def test_another_columns_rows_get_this_ones_channels_by_name() -> None:
    other = SeriesColumn(channels=("y", "extra", "x"))
    found = COLUMN.converted(as_rows([np.array([[1, 2, 3]], np.float32)]), other)
    assert [row.tolist() for row in found] == [[[3, 1]]]
    with pytest.raises(ModelError, match="channels x, y are read, but the series have x: no y"):
        COLUMN.converted(series(1), SeriesColumn(channels=("x",)))


def test_a_row_takes_four_bytes_a_number() -> None:
    assert SeriesColumn(channels=("a", "b"), typical_steps=10).row_bytes == 80


@pytest.mark.parametrize("channels", [(), ("a", "b", "a")])
def test_channels_have_distinct_names_and_there_is_one(channels: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=r"channels|twice"):
        SeriesColumn(channels=channels)
