"""The wing of tables: from a configuration to a network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.config import SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.wing import Table

COLUMN = TableColumn(
    fields=(
        Field(name="age", kind="number"),
        Field(name="sex", kind="category", categories=("f", "m")),
    )
)
ROWS = np.array([[1.0, 0.0], [2.0, 1.0], [4.0, np.nan]])


def config(**given: object) -> SourceModelConfig:
    return SourceModelConfig.model_validate({"backbone": "mlp", **given})


def test_a_fresh_network_reads_what_its_transform_gives() -> None:
    wing, made = Table(), config(args={"width": 8}, transform={"scaling": "quantile"})
    wing.check(made)
    transform = wing.fit(made, COLUMN, lambda: ROWS)
    assert transform.facts()["options"]["scaling"] == "quantile"
    again = wing.transform(transform.facts())
    backbone = wing.build("mlp", again, made.args)
    assert backbone(again(again.prepare(ROWS))).shape == (3, 8)


def test_a_number_that_was_constant_is_scaled_by_the_table_that_it_varies_in() -> None:
    wing, made = Table(), config(args={"width": 8})
    same = ROWS.copy()
    same[:, 0] = 7.0
    backbone, constant = (
        wing.build("mlp", wing.fit(made, COLUMN, lambda: same), {}),
        wing.fit(made, COLUMN, lambda: same),
    )
    assert constant.prepare(ROWS)[:, 0].std() == 0
    again, adapted, _ = wing.adapted(backbone, constant, {}, COLUMN, lambda: ROWS)
    assert again is backbone and adapted.prepare(ROWS)[:, 0].std() > 0


def test_a_local_state_dict_is_loaded(tmp_path: Path) -> None:
    wing, path = Table(), tmp_path / "mine.pt"
    made = config(weights=str(path))
    transform = wing.fit(made, COLUMN, lambda: ROWS)
    mine = wing.build("mlp", transform, {})
    torch.save(mine.state_dict(), path)
    wing.check(made)
    loaded = wing.load(made, transform)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), mine.parameters()))  # noqa: B905


def test_weights_of_another_table_are_refused_by_field(tmp_path: Path) -> None:
    wing, path = Table(), tmp_path / "mine.pt"
    made = config(weights=str(path))
    only_age = TableColumn(fields=COLUMN.fields[:1])
    other = wing.fit(made, only_age, lambda: ROWS[:, :1])
    torch.save(wing.build("mlp", other, {}).state_dict(), path)
    with pytest.raises(ModelError, match="fields.field_sex.* is missing"):
        wing.load(made, wing.fit(made, COLUMN, lambda: ROWS))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"backbone": None, "timm": "resnet18", "weights": True}, "no networks for tables"),
        ({"backbone": None, "torchvision": "alexnet", "weights": "DEFAULT"}, "'alexnet': torchv"),
        ({"backbone": None, "huggingface": "bert-base"}, "write backbone: with one of mlp, ft_"),
        ({"backbone": "resnet18"}, "unknown backbone 'resnet18' for tables; known: mlp"),
        ({"args": {"depht": 2}}, "did you mean 'depth'"),
        ({"transform": {"scalling": "standard"}}, "transform: unknown key 'scalling'; did you"),
        ({"transform": {"min_count": 0}}, "transform: min_count: .*, got 0"),
        ({"transform": {"scaling": "log"}}, "transform: scaling: "),
        ({"input_size": 32}, "input_size is of images"),
        ({"normalization": {"mean": [0], "std": [1]}}, "normalization is of images"),
        ({"weights": "DEFAULT"}, "there are none to download for tables"),
        ({"weights": "/nowhere/mine.pt"}, "/nowhere/mine.pt: no such weights file"),
    ],
)
def test_a_source_model_that_cannot_be_is_refused(given: dict, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        Table().check(config(**given))


def test_a_folder_of_raytls_own_is_none_of_the_wings_business(tmp_path: Path) -> None:
    Table().check(SourceModelConfig.model_validate({"path": str(tmp_path)}))


def test_the_wings_networks_can_be_listed() -> None:
    assert list(Table().backbones()) == ["mlp", "ft_transformer"]
