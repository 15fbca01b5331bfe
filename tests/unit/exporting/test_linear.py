"""Mapper and head folded into one linear layer, and what is refused as none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from complete_models import CNN, IMAGE, TABLE, save_model

from raytl.errors import ModelError
from raytl.exporting.linear import linear_model, trial_of, wanted_of
from raytl.exporting.whole import check_same
from raytl.models.source_folder import load_complete_model
from raytl.rows import Given
from raytl.tasks.columns import ValueColumn
from raytl.tasks.regression import Regression

LINEAR: list[dict[str, Any]] = [
    {},
    {"name": "matrix"},
    {"name": "linear", "out": 5},
    {"name": "linear", "out": 5, "batch_norm": True},
]


@pytest.mark.parametrize("mapper", LINEAR)
@pytest.mark.parametrize("task", [None, Regression(ValueColumn(), 1000.0, 50.0)])
def test_a_linear_layer_on_the_features_gives_the_same(
    mapper: dict[str, Any], task: Regression | None, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, mapper=mapper, task=task)
    complete = load_complete_model(model)
    linear = linear_model(complete, "timm")
    x_BCHW = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        f_BD = linear.branch(Given(x_BCHW, transformed=True)).features
    found = f_BD @ linear.weight.T + linear.bias
    torch.testing.assert_close(found, wanted_of(complete, x_BCHW), rtol=1e-5, atol=1e-4)
    assert linear.labels == (("ants", "bees", "wasps") if task is None else ("value",))


@pytest.mark.parametrize("mean", [10.0, 1e4, 1e6])
def test_values_are_compared_by_the_spread_of_the_target(mean: float, tmp_path: Path) -> None:
    task = Regression(ValueColumn(), mean, 1.0)
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, task=task)
    complete = load_complete_model(model)
    linear = linear_model(complete, "timm")
    x_BCHW = torch.randn(4, 3, 12, 12)
    wanted = trial_of(complete, x_BCHW)
    with torch.no_grad():
        f_BD = linear.branch(Given(x_BCHW, transformed=True)).features
    right = f_BD @ linear.weight.T + linear.bias
    with pytest.raises(ModelError, match="to .* of the target's spread, 1, but differs by [45]"):
        check_same(right + 5.0, wanted, "timm")
    with pytest.raises(ModelError, match="differs by 0.0[56]"):
        check_same(wanted.wanted + 0.0625, wanted, "timm")
    if mean < 1e6:  # of which float32 holds no sixteenth
        check_same(right, wanted, "timm")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"mapper": {"name": "mlp"}}, "this model's mapper is mlp"),
        ({"mapper": {"name": "residual"}}, "this model's mapper is residual"),
        ({"mapper": {"name": "conv1x1"}}, "this model's mapper is conv1x1"),
        ({"head": {"name": "cosine"}}, "this model's head is cosine"),
        ({"head": {"name": "mlp"}}, "this model's head is mlp"),
    ],
)
def test_what_is_not_linear_is_refused_by_name_with_another_format(
    more: dict[str, Any], why: str, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, **more)
    with pytest.raises(ModelError, match=f"--to timm needs a linear head .*{why}; --to torch and"):
        linear_model(load_complete_model(model), "timm")


def test_several_columns_are_refused(tmp_path: Path) -> None:
    parts = {"parts": {"image": CNN, "table": {"backbone": "mlp"}}}
    model = save_model(tmp_path / "best", {"image": IMAGE, "table": TABLE}, parts)
    with pytest.raises(ModelError, match="this model reads image, table"):
        linear_model(load_complete_model(model), "huggingface")
