"""What columns are found to be."""

import datetime
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raytl.errors import ConfigError, DataError
from raytl.modalities.table.infer import infer

NAN = np.nan


def found(values: object, override: str | None = None):
    column, rows = infer(pa.table({"a": values}), {"a": override} if override else None)  # type: ignore[dict-item]
    column.check(rows)
    return column.fields[0].categories or "number", rows[:, 0].tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 0, None], [1, 0, NAN]),  # two whole numbers stay numbers
        ([0.5, NAN, 2], [0.5, NAN, 2]),
        (["1", " 2.5 ", "-3e2", ".7", "?"], [1, 2.5, -300, 0.7, NAN]),
        (["1", "", "NA", "NaN", "null", "N/A", None], [1, *[NAN] * 6]),
        (pa.array([1, 2], pa.decimal128(5, 2)), [1, 2]),
        (pa.array([1, 2], pa.uint8()), [1, 2]),
    ],
)
def test_numbers_are_found(values: object, expected: list) -> None:
    kind, rows = found(values)
    assert kind == "number"
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize(
    ("values", "categories", "expected"),
    [
        (["b", "a", "?", "b"], ("a", "b"), [1, 0, NAN, 1]),
        (["1", "2", "many"], ("1", "2", "many"), [0, 1, 2]),
        (["007", "12"], ("007", "12"), [0, 1]),  # a code, such as a postcode
        ([True, None, False], ("false", "true"), [1, NAN, 0]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ("x", "y"), [0, 1, 0]),
    ],
)
def test_categories_are_found(values: object, categories: tuple, expected: list) -> None:
    kind, rows = found(values)
    assert kind == categories
    np.testing.assert_array_equal(rows, expected)


def test_a_number_that_is_said_to_be_a_category_is_spelled_one_way() -> None:
    for values in ([1.0, 2.0, NAN], [1, 2, None], ["1.0", "2", "?"], ["1", "2.00", ""]):
        assert found(values, "category")[0] == ("1", "2")
    big = [2**60, 2**60 + 1]
    assert found(big, "category")[0] == tuple(str(number) for number in big)
    assert len(found([str(number) for number in big], "category")[0]) == 2


def test_strings_and_booleans_can_be_said_to_be_numbers() -> None:
    assert found(["007", "12"], "number") == ("number", [7, 12])
    assert found([True, False], "number") == ("number", [1, 0])


def test_pandas_tables_are_read_alike() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.5, None, 3],
            "w": ["b", None, "a"],
            "k": pd.Categorical(["x", "y", "x"]),
            "i": pd.array([1, None, 3], dtype="Int64"),
            "t": [True, False, True],
            "o": pd.Series([1, 2.5, None], dtype=object),
        }
    )
    frame.index = pd.Index([7, 7, 9])
    column, rows = infer(frame)
    assert column.describe() == {
        "kind": "table",
        "numbers": ["n", "i", "o"],
        "categories": {"w": 2, "k": 2, "t": 2},
    }
    expected = [[1.5, 1, 0, 1, 1, 1], [NAN, NAN, 1, NAN, 0, 2.5], [3, 0, 0, 3, 1, NAN]]
    np.testing.assert_array_equal(rows, expected)


def test_a_column_in_pieces_is_one() -> None:
    pieces = pa.chunked_array([["1", "2"], ["3"]])
    assert found(pieces) == ("number", [1, 2, 3])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([None, None], "column 'a' has no value in any row, so it tells nothing; leave"),
        ([NAN, NAN], "has no value in any row"),
        (["?", ""], "has no value in any row"),
        ([1.0, np.inf], "numbers must be finite, but row 1 has inf"),
        (["1", "1e999"], "numbers must be finite, but row 1 has inf"),
        ([datetime.date(2020, 1, 1)], r"column 'a' has dates or times \(date32"),
        ([datetime.datetime(2020, 1, 1)], "dates or times"),
        (["", "2020-01-31", "1999-12-01 10:30"], "dates or times, such as '2020-01-31' in row 1"),
        (["31/01/2020"], "leave the column out, or say that it is a category"),
        ([[1, 2]], "column 'a' has list.*, which is neither number nor category"),
        ([b"x"], "has binary, which is neither"),
        ([*map(str, range(30)), "12 kg"], "has numbers, but row 30 has '12 kg'; leave that empty"),
    ],
)
def test_columns_of_no_use_are_refused(values: list, told: str) -> None:
    with pytest.raises(DataError, match=told):
        found(values)


def test_an_override_decides_what_would_be_refused() -> None:
    assert len(found([*map(str, range(30)), "12 kg"], "category")[0]) == 31
    assert found(["31/01/2020"], "category")[0] == ("31/01/2020",)
    with pytest.raises(DataError, match="has numbers, but row 1 has 'b'"):
        found(["1", "b"], "number")
    with pytest.raises(DataError, match="has no value in any row"):
        found(["?", None], "category")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([None, 1, "x"], "must have values of one type, but has number in row 1 and str in row 2"),
        ([True, 1], "bool in row 0 and number in row 1"),
        (["a", b"x"], "str in row 0 and bytes in row 1"),
    ],
)
def test_values_of_several_types_are_named_by_row(values: list, told: str) -> None:
    with pytest.raises(DataError, match=told):
        infer(pd.DataFrame({"a": pd.Series(values, dtype=object)}))


def test_what_arrow_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="column 'a': cannot be read: "):
        infer(pd.DataFrame({"a": pd.Series([1, 10**30], dtype=object)}))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pa.table({"a": pa.array([], pa.int64())}), "needs a column and a row, got 1 and 0"),
        (pd.DataFrame(index=[0, 1]), "got 0 and 2"),
        (pa.table([[1], [2]], names=["a", "a"]), "2 are 'a'"),
        (pd.DataFrame([[1, 2]], columns=["a", ""]), "one has none"),
    ],
)
def test_tables_without_columns_rows_or_names_are_refused(table: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        infer(table)  # type: ignore[arg-type]


def test_a_table_is_looked_at_without_torch() -> None:
    code = "import sys, raytl.modalities.table.infer, raytl.modalities.table.matching\n"
    code += "sys.exit(int('torch' in sys.modules or 'ray' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_override_of_no_column_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column 'agee'; did you mean 'age'"):
        infer(pa.table({"age": [1]}), {"agee": "number"})
