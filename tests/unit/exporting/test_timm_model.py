"""`--to timm`: weights that `timm.create_model` loads, with the same outputs."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from complete_models import CLASSES, CNN, IMAGE, save_model
from safetensors.torch import load_file

from raytl import verbs
from raytl.errors import ModelError
from raytl.exporting.linear import wanted_of
from raytl.exporting.timm_model import trial_images
from raytl.models.source_folder import load_complete_model
from raytl.tasks.columns import ValueColumn
from raytl.tasks.regression import Regression

NETWORKS: dict[str, dict[str, Any]] = {
    "a residual network": {"backbone": "timm/test_resnet", "input_size": 32},
    "inverted residuals": {"backbone": "timm/test_efficientnet", "input_size": 32},
    "a transformer": {"backbone": "timm/test_vit", "input_size": 160},
    "a transformer of another size": {"backbone": "timm/test_vit", "input_size": 64},
    "a network of convolutions and norms": {"backbone": "timm/test_convnext", "input_size": 64},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_timm_loads_the_weights_and_gives_the_same(name: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, NETWORKS[name],
                       mapper={"name": "linear", "out": 7, "batch_norm": True})  # fmt: skip
    out = tmp_path / "out"
    assert verbs.export(model, to="timm", out=out)["apart"] < 1e-4
    config = json.loads((out / "config.json").read_text())
    loaded = timm.create_model(
        config["architecture"], num_classes=3, pretrained=False,
        checkpoint_path=str(out / "model.safetensors"), **config.get("model_args", {}),
    ).eval()  # fmt: skip
    complete = load_complete_model(model)
    x_BCHW = trial_images(complete, rows=2)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x_BCHW), wanted_of(complete, x_BCHW), rtol=0, atol=1e-4)


def test_labels_and_how_images_are_read_stand_beside(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, NETWORKS["a residual network"])
    verbs.export(model, to="timm", out=tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["label_names"] == list(CLASSES) and config["num_classes"] == 3
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    data = timm.data.resolve_data_config(config["pretrained_cfg"])
    assert data["crop_mode"] == "squash" and data["mean"] == (0.5, 0.5, 0.5)
    assert (
        'timm.create_model(\n    "test_resnet", num_classes=3'
        in (tmp_path / "out" / "README.md").read_text()
    )
    first = load_file(tmp_path / "out" / "model.safetensors")
    verbs.export(model, to="timm", out=tmp_path / "again")
    assert first.keys() == load_file(tmp_path / "again" / "model.safetensors").keys()


def test_a_value_comes_in_its_unit(tmp_path: Path) -> None:
    task = Regression(ValueColumn(), 1000.0, 50.0)
    model = save_model(
        tmp_path / "best", {"image": IMAGE}, NETWORKS["a residual network"], task=task
    )
    assert verbs.export(model, to="timm", out=tmp_path / "out")["apart"] < 0.1
    assert json.loads((tmp_path / "out" / "config.json").read_text())["label_names"] == ["value"]


def test_networks_of_others_are_refused(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN)
    with pytest.raises(ModelError, match="--to timm needs a network of timm for images, but this"):
        verbs.export(model, to="timm", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
