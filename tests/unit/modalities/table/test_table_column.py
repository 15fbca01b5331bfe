"""A table's column: what is refused, and what comes back from Arrow."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from raytl.errors import ModelError
from raytl.modalities.column import BadRowError
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.matching import check_readable, shared_fields

AGE = Field(name="age", kind="number")
SEX = Field(name="sex", kind="category", categories=("f", "m"))
PEOPLE = TableColumn(fields=(AGE, SEX))


def test_rows_come_back_from_two_shards_with_their_missing_values() -> None:
    values = np.array([[30.5, 0], [np.nan, 1], [41, np.nan]])
    shards = [PEOPLE.to_arrow(values[:1]), PEOPLE.to_arrow(values[1:])]
    assert all(shard.type == PEOPLE.arrow_type and shard.null_count == 0 for shard in shards)
    found = PEOPLE.reader(shards)(np.array([2, 0, 1]))
    np.testing.assert_array_equal(found, values[[2, 0, 1]])


def test_what_is_read_may_be_changed() -> None:
    shard = PEOPLE.to_arrow(np.array([[1.0, 0.0]]))
    read = PEOPLE.reader([shard])
    read(np.array([0]))[:] = 9
    assert read(np.array([0])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[1, 0], [np.inf, 0]], "field 'age' must be finite or missing, but row 1 has inf"),
        ([[1, 0], [1, 2]], "field 'sex' is a category, coded 0 to 1 or missing, but row 1 has 2"),
        ([[1, -1]], "row 0 has -1"),
        ([[1, 0.5]], "row 0 has 0.5"),
        ([[1, -np.inf]], "row 0 has -inf"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_row(values: list, told: str) -> None:
    with pytest.raises(BadRowError, match=told) as caught:
        PEOPLE.check(np.array(values, np.float64))
    assert f"row {caught.value.row + 100}" in caught.value.at(caught.value.row + 100)


def test_braces_in_a_name_do_not_break_the_message() -> None:
    column = TableColumn(fields=(Field(name="a{0}", kind="number"),))
    with pytest.raises(BadRowError, match=r"field 'a\{0\}' must be finite or missing, but row 0"):
        column.check(np.array([[np.inf]]))


def test_missing_values_of_both_kinds_fit() -> None:
    PEOPLE.check(np.full((2, 2), np.nan))


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((2, 2), np.float32), np.zeros(2)])
def test_rows_of_another_shape_or_dtype_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows must be 2 float64 each"):
        PEOPLE.check(values)


def test_stored_rows_are_verified() -> None:
    PEOPLE.verify(PEOPLE.to_arrow(np.array([[1.0, 1.0]])))
    with pytest.raises(ValueError, match="row 0 has 7"):
        PEOPLE.verify(PEOPLE.to_arrow(np.array([[1.0, 7.0]])))
    storage = pa.array([[1.0, 1.0], None], PEOPLE.arrow_type.storage_type)
    with pytest.raises(ValueError, match="without a value"):
        PEOPLE.verify(pa.ExtensionArray.from_storage(PEOPLE.arrow_type, storage))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([], "at least 1"),
        ([{"name": "a", "kind": "number"}] * 2, "2 are 'a'"),
        ([{"name": "", "kind": "number"}], "at least 1 character"),
        ([{"name": "a", "kind": "date"}], "number"),
        ([{"name": "a", "kind": "number", "categories": ["x"]}], "a number has no categories"),
        ([{"name": "a", "kind": "category"}], "'a' has 0"),
        ([{"name": "a", "kind": "category", "categories": ["x", "x"]}], "must differ"),
    ],
)
def test_fields_that_are_none_are_refused(fields: list, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TableColumn.model_validate({"fields": fields})


def test_a_description_is_short_and_a_column_survives_json() -> None:
    assert PEOPLE.describe() == {"kind": "table", "numbers": ["age"], "categories": {"sex": 2}}
    assert PEOPLE.row_bytes == 16
    assert TableColumn.model_validate(json.loads(PEOPLE.model_dump_json())) == PEOPLE


OTHERS = TableColumn(
    fields=(
        Field(name="sex", kind="category", categories=("x", "m")),
        Field(name="pay", kind="number"),
        Field(name="age", kind="category", categories=("old",)),
    )
)


def test_rows_of_another_table_are_held_by_name() -> None:
    rows = np.array([[0, 7, 0], [1, 8, 0], [np.nan, 9, np.nan]])
    found = PEOPLE.converted(rows, OTHERS)
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.nan, 1], [np.nan, np.nan]])
    pay = OTHERS.converted(np.array([[30.0, 1.0]]), PEOPLE)
    np.testing.assert_array_equal(pay, [[1, np.nan, np.nan]])


def test_a_joined_table_holds_the_rows_of_both() -> None:
    both = PEOPLE.joined(OTHERS)
    assert both.fields == (
        AGE,
        Field(name="sex", kind="category", categories=("f", "m", "x")),
        Field(name="pay", kind="number"),
    )
    held = both.converted(np.array([[0.0, 7.0, 0.0]]), OTHERS)
    np.testing.assert_array_equal(held, [[np.nan, 2, 7]])
    rows = np.array([[30.5, 1.0]])
    np.testing.assert_array_equal(both.converted(rows, PEOPLE)[:, :2], rows)


def test_fields_are_shared_by_name_and_kind() -> None:
    other = TableColumn(
        fields=(
            Field(name="pay", kind="number"),
            Field(name="sex", kind="number"),
            AGE,
        )
    )
    more = TableColumn(fields=(AGE, SEX, Field(name="town", kind="number")))
    found = shared_fields(more, other)
    assert (found.shared, found.only_first, found.only_second, found.of_another_kind) == (
        ("age",), ("town",), ("pay",), ("sex",),
    )  # fmt: skip
    assert found.describe("one", "the other") == (
        "1 shared; only in one: town; only in the other: pay; of another kind: sex"
    )
    with pytest.raises(ModelError, match="'sex' is a category in the source model's table, but a"):
        check_readable(more, other)
    with pytest.raises(ModelError, match="but it has age, sex and the table pay"):
        check_readable(PEOPLE, TableColumn(fields=(Field(name="pay", kind="number"),)))
