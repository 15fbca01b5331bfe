"""Labels and values: stored, read back, missing, and refused with their place in the source."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raytl.data.dataset import Dataset
from raytl.data.inspect_dataset import describe
from raytl.data.schema import column_facts
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import DataError
from raytl.modalities.column import BadRowError, Column, Values
from raytl.modalities.text.column import TextColumn
from raytl.tasks.columns import NO_LABEL, LabelColumn, ValueColumn

LABELS = LabelColumn(classes=("a", "b", "c"))
SOME_LABELS = LabelColumn(classes=("a", "b", "c"), nulls=True)
VALUES, SOME_VALUES = ValueColumn(), ValueColumn(nulls=True)


def back(column: Column, *parts: Values) -> np.ndarray:
    """Return what is read of values that were stored in shards of these parts, turned round."""
    for part in parts:
        column.check(part)
    shards = [column.to_arrow(part) for part in parts]
    assert all(shard.type == column.arrow_type for shard in shards)
    for shard in shards:
        column.verify(shard)
    read = column.reader(shards)
    found = read(np.arange(sum(map(len, parts)))[::-1])
    assert isinstance(found, np.ndarray)
    return found


def test_labels_come_back_from_two_shards() -> None:
    found = back(LABELS, np.array([0, 2]), np.array([1]))
    assert found.tolist() == [1, 2, 0] and found.dtype == np.int64


def test_rows_without_a_label_are_null_in_shards_and_known_in_memory() -> None:
    labels = np.array([2, NO_LABEL, 0])
    assert SOME_LABELS.to_arrow(labels).to_pylist() == [2, None, 0]
    assert back(SOME_LABELS, labels, np.array([1])).tolist() == [1, 0, NO_LABEL, 2]


def test_values_come_back_from_two_shards() -> None:
    found = back(VALUES, np.array([0.5, -2.25]), np.array([1e300]))
    assert found.tolist() == [1e300, -2.25, 0.5] and found.dtype == np.float64


def test_rows_without_a_value_are_null_in_shards_and_nan_in_memory() -> None:
    values = np.array([2.5, np.nan, 0])
    assert SOME_VALUES.to_arrow(values).to_pylist() == [2.5, None, 0.0]
    found = back(SOME_VALUES, values, np.array([1.0]))
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan, 2.5])


@pytest.mark.parametrize(("column", "values"), [(LABELS, [0, 1]), (VALUES, [0.5, 1.5])])
def test_what_is_read_may_be_changed(column: Column, values: list[float]) -> None:
    read = column.reader([column.to_arrow(np.array(values))])
    read(np.array([0]))[:] = 9
    assert read(np.array([0])).tolist() == values[:1]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (LABELS, [0, 3], "labels must lie in 0..2 for 3 classes, but row 1 has 3"),
        (LABELS, [0, 1, NO_LABEL], "row 2 has -1"),
        (SOME_LABELS, [NO_LABEL, -2], "row 1 has -2"),
        (SOME_LABELS, [3, NO_LABEL], "row 0 has 3"),
        (VALUES, [0.5, np.nan], "target values must be finite numbers, but row 1 has nan"),
        (VALUES, [-np.inf, 1], "row 0 has -inf"),
        (SOME_VALUES, [np.nan, np.inf], "row 1 has inf"),
    ],
)
def test_a_target_that_does_not_fit_is_named_with_its_row_or_the_sources_place(
    tmp_path: Path, column: Column, values: list[float], message: str
) -> None:
    given = np.array(values)
    with pytest.raises(BadRowError, match=message) as caught:
        column.check(given)
    row = caught.value.row
    places = np.arange(len(given)) * 7 + 40
    texts = np.array(["words"] * len(given), dtype=object)
    chunk = Chunk({"words": texts, "y": given}, places)
    columns = {"words": TextColumn(), "y": column}
    told = rf"split train: column y: .*row {places[row]} has {given[row]}$"
    with pytest.raises(DataError, match=told):
        write_dataset(tmp_path / "d", columns, {"train": [chunk]}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "stored", "message"),
    [
        (LABELS, [0, None], "rows without a value"),
        (LABELS, [0, 3], r"0\.\.2 for the 3 classes of dataset\.json, but row 1 has 3"),
        (LABELS, [-1, 0], "row 0 has -1"),
        (SOME_LABELS, [None, 3], "row 1 has 3"),
        (SOME_LABELS, [None, -2], "row 1 has -2"),
        (VALUES, [0.5, None], "rows without a value"),
        (VALUES, [float("inf")], "row 0 has inf"),
        (SOME_VALUES, [None, float("-inf")], "row 1 has -inf"),
    ],
)
def test_stored_targets_are_verified(
    column: Column, stored: list[float | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        column.verify(pa.array(stored, column.arrow_type))


def test_what_is_wrong_in_any_chunk_is_told_with_the_place_of_that_row(tmp_path: Path) -> None:
    def chunk(labels: list[int], first: int) -> Chunk:
        values = {"words": np.array(["w"] * len(labels), dtype=object), "y": np.array(labels)}
        return Chunk(values, np.arange(first, first + len(labels)))

    chunks = [chunk([0, 1], 0), chunk([2, 0], 2), chunk([1, 4], 4)]
    with pytest.raises(DataError, match="split valid: column y: .*but row 5 has 4"):
        write_dataset(
            tmp_path / "d", {"words": TextColumn(), "y": LABELS},
            {"train": chunks[:2], "valid": chunks}, {},
        )  # fmt: skip


def test_columns_of_unequal_length_are_refused(tmp_path: Path) -> None:
    values = {"words": np.array(["w"], dtype=object), "y": np.array([0, 1])}
    with pytest.raises(DataError, match="split train: 2 rows but 1 in column words"):
        write_dataset(
            tmp_path / "d", {"words": TextColumn(), "y": LABELS},
            {"train": [Chunk(values, np.arange(2))]}, {},
        )  # fmt: skip


@pytest.mark.parametrize("name", ["a b", "id", "", "wört"])
def test_a_columns_name_that_is_not_plain_is_refused(tmp_path: Path, name: str) -> None:
    columns: dict[str, Column] = {"words": TextColumn(), name: LABELS}
    values = {"words": np.array(["w"], dtype=object), name: np.array([0])}
    with pytest.raises(DataError, match=f"a column's name must be .*got '{name}'; rename it"):
        write_dataset(tmp_path / "d", columns, {"train": [Chunk(values, np.arange(1))]}, {})
    assert list(tmp_path.iterdir()) == []


def test_missing_targets_are_counted_apart(tmp_path: Path) -> None:
    columns: dict[str, Column] = {"words": TextColumn(), "y": SOME_LABELS, "price": SOME_VALUES}
    values = {
        "words": np.array(list("abcd"), dtype=object),
        "y": np.array([1, NO_LABEL, 1, 2]),
        "price": np.array([1.0, np.nan, 2.0, 3.0]),
    }
    write_dataset(tmp_path / "d", columns, {"train": [Chunk(values, np.arange(4))]}, {})
    told = describe(Dataset.open(tmp_path / "d"))
    train = told["splits"]["train"]
    assert train["classes"] == {"a": 0, "b": 2, "c": 1} and train["without a label"] == 1
    assert told["columns"]["y"] == {"kind": "label", "classes": ["a", "b", "c"], "nulls": True}
    assert told["columns"]["price"]["kind"] == "value" and told["verified"]


def test_classes_of_several_label_columns_are_told_apart(tmp_path: Path) -> None:
    columns: dict[str, Column] = {"words": TextColumn(), "y": LABELS, "z": SOME_LABELS}
    values = {
        "words": np.array(list("abc"), dtype=object),
        "y": np.array([1, 0, 1]),
        "z": np.array([2, NO_LABEL, 2]),
    }
    write_dataset(tmp_path / "d", columns, {"train": [Chunk(values, np.arange(3))]}, {})
    train = describe(Dataset.open(tmp_path / "d"))["splits"]["train"]
    assert train["classes of y"] == {"a": 1, "b": 2, "c": 0}
    assert train["classes of z"] == {"a": 0, "b": 0, "c": 2}
    assert train["without a label of z"] == 1


def test_a_field_at_its_default_is_no_part_of_a_fingerprint() -> None:
    assert column_facts(LABELS) == {"kind": "label", "classes": ["a", "b", "c"]}
    assert column_facts(VALUES) == {"kind": "value"}
    assert column_facts(SOME_VALUES) == {"kind": "value", "nulls": True}
