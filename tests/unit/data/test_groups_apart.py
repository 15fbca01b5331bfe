"""A group stands in one split alone, whoever wrote the dataset."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from values_support import brightness, study_of, write_targets

from raytl.data.checking import Apart
from raytl.data.dataset import Dataset
from raytl.data.groups_apart import check_apart
from raytl.data.inspect_dataset import describe
from raytl.errors import DataError
from raytl.sweeping.opening import open_study
from raytl.tasks.columns import LabelColumn

ROWS = {"train": 40, "test": 20, "spare": 20}


@pytest.fixture
def carelessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write as another writer might, who does not look where a group stands."""
    monkeypatch.setattr(Apart, "check", lambda self, groups, split: None)


def write(out: Path, of: Mapping[str, Any]) -> Path:
    """Write rows of two classes whose groups are `of` a split, over and over."""
    splits, groups = {}, {}
    for number, (name, count) in enumerate(ROWS.items()):
        splits[name] = (brightness(count, number)[0], np.arange(count) % 2)
        groups[name] = np.resize(np.array(of[name]), count)
    return write_targets(out, LabelColumn(classes=("dark", "bright")), splits, groups)


def test_groups_that_stand_apart_pass(tmp_path: Path) -> None:
    apart = write(tmp_path / "d", {"train": [0, 4, 2], "test": [3, 1], "spare": [5, 6]})
    check_apart(Dataset.open(apart), list(ROWS))
    assert describe(Dataset.open(apart))["verified"]
    assert open_study(study_of(None, apart)).test_labels == 20


@pytest.mark.usefixtures("carelessly")
def test_a_group_in_two_splits_is_told_by_inspect(tmp_path: Path) -> None:
    crossed = write(tmp_path / "d", {"train": [0, 4, 2], "test": [3, 2, 4], "spare": [5]})
    said = (
        r"/d: a group must stand in one split alone, but 2 of column who has rows in train and "
        r"test \(2 such\); shard the data again"
    )
    for verify in (True, False):
        with pytest.raises(DataError, match=said):
            describe(Dataset.open(crossed), verify=verify)


@pytest.mark.usefixtures("carelessly")
def test_a_study_refuses_such_a_group_in_splits_that_it_reads(tmp_path: Path) -> None:
    crossed = write(tmp_path / "d", {"train": [0, 1], "test": [3, 1], "spare": [5, 6]})
    with pytest.raises(DataError, match=r"target_domain.dataset: .* 1 of column who .*train and t"):
        open_study(study_of(None, crossed))
    apart = write(tmp_path / "apart", {"train": [0, 1], "test": [3, 4], "spare": [5, 6]})
    named = {"dataset": crossed, "splits": {"train": "train", "validation": "test"}}
    with pytest.raises(DataError, match=r"source_domain.dataset: .*in train and test"):
        open_study(study_of(None, apart, source_domain=named))


@pytest.mark.usefixtures("carelessly")
def test_a_split_that_the_study_does_not_read_is_none_of_its_business(tmp_path: Path) -> None:
    crossed = write(tmp_path / "d", {"train": [0, 1, 7], "test": [3, 4, 8], "spare": [1, 4]})
    assert open_study(study_of(None, crossed)).test_labels == 20
    with pytest.raises(DataError, match="1 of column who has rows in train and spare"):
        describe(Dataset.open(crossed))


def test_a_dataset_without_groups_has_nothing_to_check(domains: tuple[Path, Path]) -> None:
    dataset = Dataset.open(domains[0])
    assert dataset.group is None
    check_apart(dataset, ["no such split"])
    assert json.dumps(describe(dataset))
