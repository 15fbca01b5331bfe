"""Groups: who they are, what is refused, and that they are nothing to learn from."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raytl.data.group_column import GroupColumn
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import DataError
from raytl.modalities.column import BadRowError
from raytl.modalities.text.column import TextColumn
from raytl.tasks.columns import LabelColumn

GROUPS = GroupColumn(groups=3)


def test_groups_are_read_from_any_shard() -> None:
    shards = [GROUPS.to_arrow(np.array(part)) for part in ([0, 2], [1])]
    assert all(shard.type == pa.int64() == GROUPS.arrow_type for shard in shards)
    assert GROUPS.reader(shards)(np.array([2, 1, 0])).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("values", "row"), [([0, 3], 1), ([-1, 0], 0)])
def test_a_group_that_is_none_is_named_with_its_row(values: list[int], row: int) -> None:
    said = rf"groups are numbers from 0 to 2, but row {row} has {values[row]}"
    with pytest.raises(BadRowError, match=said) as caught:
        GROUPS.check(np.array(values))
    assert caught.value.row == row and f"row 77 has {values[row]}" in caught.value.at(77)


def test_stored_groups_are_verified() -> None:
    GROUPS.verify(pa.array([0, 1, 2]))
    with pytest.raises(ValueError, match="row 1 has 3"):
        GROUPS.verify(pa.array([0, 3]))
    with pytest.raises(ValueError, match="rows without a value"):
        GROUPS.verify(pa.array([0, None]))


def test_a_group_is_told() -> None:
    assert GROUPS.describe() == {"kind": "group", "groups": 3}
    assert not GROUPS.is_target


def test_the_writer_names_the_place_in_the_source(tmp_path: Path) -> None:
    columns = {"patient": GROUPS, "words": TextColumn(), "y": LabelColumn(classes=("a", "b"))}
    values = {
        "patient": np.array([0, 5]),
        "words": np.array(["a", "b"], dtype=object),
        "y": np.array([0, 1]),
    }
    chunk = Chunk(values, np.array([8, 31]))
    with pytest.raises(DataError, match="split train: column patient: .*but row 31 has 5"):
        write_dataset(tmp_path / "d", columns, {"train": [chunk]}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_has_one_column_of_groups_at_most(tmp_path: Path) -> None:
    columns = {"patient": GROUPS, "site": GROUPS, "y": LabelColumn(classes=("a", "b"))}
    chunk = Chunk({name: np.array([0, 1]) for name in columns}, np.arange(2))
    with pytest.raises(DataError, match="one column of groups at most, got patient, site"):
        write_dataset(tmp_path / "d", columns, {"train": [chunk]}, {})


def test_a_group_that_stands_in_two_splits_is_refused_whatever_chunk_it_is_in(
    tmp_path: Path,
) -> None:
    columns = {"who": GroupColumn(groups=5), "label": LabelColumn(classes=("a",))}

    def chunks(*of: list[int]) -> list[Chunk]:
        made = [np.array(groups) for groups in of]
        return [
            Chunk({"who": g, "label": 0 * g}, np.arange(len(g)) + 10 * i)
            for i, g in enumerate(made)
        ]

    apart = {"train": chunks([0, 1], [1, 0]), "test": chunks([2], [4, 3, 2])}
    write_dataset(tmp_path / "apart", columns, apart, {})
    crossed = {"train": chunks([0, 1], [4, 0]), "test": chunks([2], [3, 4])}
    with pytest.raises(DataError, match="one split alone, but 4 of column who has rows in train"):
        write_dataset(tmp_path / "crossed", columns, crossed, {})
    assert not (tmp_path / "crossed").exists()
