"""Low-rank adapters in networks of every kind: they learn, or a rank is refused."""

from pathlib import Path
from typing import Any

import pytest
from several_columns import BILSTM, CNN, GRU, parts_of, run_of, study_of, write_rows

from raytl.config import Study
from raytl.errors import ModelError

MLP = {"backbone": "mlp", "args": {"width": 8}}
ADAPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "inception": ("series", {"backbone": "inception"}),
    "text_cnn": ("text", {"backbone": "text_cnn", "args": {"dim": 6, "filters": 4}}),
    "small_cnn": ("image", CNN),
    "mlp": ("table", MLP),
}
WHOLLY = {"recipe": "finetune", "frozen_depth": "100%", "lora_rank": 2}


def study(folder: Path, columns: tuple[str, ...], **models: Any) -> Study:
    return study_of(write_rows(folder / "rows", {name: name for name in columns}), models)


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_of_a_wholly_frozen_network_learn(tmp_path: Path, name: str) -> None:
    column, net = ADAPTED[name]
    run = run_of(study(tmp_path, (column,), net=net), **WHOLLY)
    adapters = run.parts.model.adapter_parameters()
    before = [parameter.detach().clone() for parameter in adapters]
    run.judge(run.train())
    assert before and any((p != b).any() for p, b in zip(adapters, before, strict=True))


@pytest.mark.parametrize(("column", "net"), [("series", GRU), ("text", BILSTM)])
def test_a_rank_is_refused_where_no_layer_can_be_adapted(
    tmp_path: Path, column: str, net: dict[str, Any]
) -> None:
    made = study(tmp_path, (column,), net=net)
    says = f"lora_rank: .*linear and convolutional layers, of which {net['backbone']} has none"
    with pytest.raises(ModelError, match=says):
        parts_of(made, **WHOLLY)
    parts_of(made, **WHOLLY | {"frozen_depth": 0})
    parts_of(made, **WHOLLY | {"lora_rank": 0})
    parts_of(made, **WHOLLY | {"recipe": "scratch"})


def test_one_column_whose_layers_can_be_adapted_is_enough(tmp_path: Path) -> None:
    both = {"parts": {"image": CNN, "text": BILSTM}}
    assert parts_of(
        study(tmp_path, ("image", "text"), net=both), **WHOLLY
    ).model.adapter_parameters()


def test_a_recipe_that_freezes_all_has_no_adapters(tmp_path: Path) -> None:
    made = study(tmp_path, ("image",), net=CNN)
    model = parts_of(made, **WHOLLY | {"recipe": "linear_probe"}).model
    assert not model.adapter_parameters() and model.branch("image").wholly_frozen
