"""A study's rows respect the groups of its datasets, and rows without a target."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from values_support import brightness, write_targets

from raytl.config import DomainConfig, TargetDomainConfig
from raytl.data.domain import Domain
from raytl.data.group_column import GroupColumn
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import DataError
from raytl.modalities.table.column import Field, TableColumn
from raytl.tasks.columns import NO_LABEL, LabelColumn, ValueColumn
from raytl.training.splits import redrawable, source_rows, target_rows

GROUPS = np.repeat(np.arange(10), 10)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    columns = {
        "table": TableColumn(fields=(Field(name="x", kind="number"),)),
        "label": LabelColumn(classes=("a", "b"), nulls=True),
        "value": ValueColumn(nulls=True),
        "who": GroupColumn(groups=10),
    }
    labels = np.arange(100) % 2
    labels[:5] = NO_LABEL
    values = {
        "table": np.arange(100.0)[:, None], "label": labels,
        "value": np.where(labels == NO_LABEL, np.nan, np.arange(100.0)), "who": GROUPS,
    }  # fmt: skip
    write_dataset(tmp_path / "d", columns, {"train": [Chunk(values, np.arange(100))]}, {})
    return tmp_path / "d"


def target(data: Path, **options: Any) -> Domain:
    return Domain.open(TargetDomainConfig(dataset=data, validation_fraction=0.2, **options))


@pytest.mark.parametrize("labels", ["none", "all", 8])
@pytest.mark.parametrize("column", ["label", "value"])
def test_no_group_of_a_validation_row_is_learnt_from(
    data: Path, labels: str | int, column: str
) -> None:
    rows = target_rows(target(data, labels=labels, target=column), seed=0)
    learnt = {*GROUPS[rows.labelled], *GROUPS[rows.unlabelled]}
    assert len(rows.validation) and not learnt & set(GROUPS[rows.validation])
    assert not set(range(5)) & set(rows.labelled)
    if labels != "none":
        assert not set(range(5)) & set(rows.validation)


def test_source_rows_are_labelled_ones_and_keep_groups_apart(data: Path) -> None:
    config = DomainConfig(dataset=data, validation_fraction=0.2, target="label")
    rows = source_rows(Domain.open(config), seed=0)
    assert len(rows.train) + len(rows.validation) == 95
    assert not set(GROUPS[rows.train]) & set(GROUPS[rows.validation])


def test_values_can_be_drawn_anew_while_there_are_more(data: Path) -> None:
    assert redrawable(target(data, labels=90, target="value"))
    assert not redrawable(target(data, labels=95, target="value"))
    assert not redrawable(target(data, labels=48, target="label"))


@pytest.mark.parametrize("labels", ["all", 4])
@pytest.mark.parametrize("bare", ["train", "validation"])
def test_a_split_without_a_label_is_refused_where_labels_are_wanted(
    tmp_path: Path, labels: str | int, bare: str
) -> None:
    splits = {}
    for name in ("train", "validation", "test"):
        splits[name] = (
            brightness(20, 1)[0],
            np.full(20, -1) if name == bare else np.arange(20) % 2,
        )
    out = write_targets(tmp_path / "bare", LabelColumn(classes=("a", "b"), nulls=True), splits)
    named = {"dataset": out, "splits": {"validation": "validation"}}
    domain = Domain.open(TargetDomainConfig.model_validate(named | {"labels": labels}))
    with pytest.raises(DataError, match=f"no row of split '{bare}' has a value in column 'target'"):
        target_rows(domain, 0)
    with pytest.raises(DataError, match=f"no row of split '{bare}' has a value"):
        source_rows(Domain.open(DomainConfig.model_validate(named)), 0)
    none = Domain.open(TargetDomainConfig.model_validate(named | {"labels": "none"}))
    assert len(target_rows(none, 0).unlabelled) == 20
