"""A study's rows respect the groups of its datasets, and rows without a target."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config import DomainConfig, TargetDomainConfig
from raytl.data.domain import Domain
from raytl.data.group_column import GroupColumn
from raytl.data.writer import Chunk, write_dataset
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
