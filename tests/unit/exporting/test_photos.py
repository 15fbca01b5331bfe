"""How photos become what an exported model takes stands beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
from complete_models import CNN, IMAGE, save_model

from raytl import verbs
from raytl.modalities.image.column import ImageColumn

PADDED = {"fit": "pad", "box": 8}
SAID = "scaled to fit inside 8 x 8, the rest black, centred in 12 x 12 of black"
OWN = ImageColumn(shape=(32, 32, 3), dtype="uint8")  # the networks' own size
RESNET: dict[str, Any] = {"backbone": "resnet18", "input_size": 32}
OF_TIMM: dict[str, Any] = {"backbone": "timm/test_resnet", "input_size": 32}


def exported(folder: Path, to: str, config: dict[str, Any], **more: Any) -> Path:
    column = more.pop("column", IMAGE)
    model = save_model(folder / "best", {"image": column}, config, **more)
    verbs.export(model, to=to, out=folder / "out")
    return folder / "out"


def readme(out: Path) -> str:
    return " ".join((out / "README.md").read_text().split())


def test_a_program_says_how_its_images_are_fitted(tmp_path: Path) -> None:
    out = exported(tmp_path, "torch", CNN, options=PADDED)
    (facts,) = json.loads((out / "model.json").read_text())["inputs"]
    assert facts["made_by"] == {"size": [12, 12], "fit": "pad", "box": 8}
    assert SAID in readme(out)


def test_images_that_are_taken_as_they_are_are_not_fitted(tmp_path: Path) -> None:
    out = exported(tmp_path, "torch", CNN, kind="arrays")
    (facts,) = json.loads((out / "model.json").read_text())["inputs"]
    assert facts["made_by"] == {"size": [12, 12], "fit": None, "box": None}
    assert "stretched" not in readme(out)


@pytest.mark.parametrize(
    ("column", "options", "said"),
    [
        (IMAGE, PADDED, f"{SAID} (bilinear, antialiased), then stretched to 32 x 32"),
        (IMAGE, {}, "stretched to 12 x 12 (bilinear, antialiased), then stretched to 32 x 32"),
        (OWN, {"fit": "crop"}, "scaled to cover 32 x 32, the middle cut out"),
    ],
)
def test_no_processor_stands_for_another_fit(
    column: ImageColumn, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    out = exported(tmp_path, "huggingface", RESNET, column=column, options=options)
    assert not (out / "preprocessor_config.json").exists()
    assert said in readme(out) and "AutoImageProcessor" not in readme(out)


def test_a_processor_stretches_as_sharding_does(tmp_path: Path) -> None:
    out = exported(tmp_path, "huggingface", RESNET, column=OWN)
    assert json.loads((out / "preprocessor_config.json").read_text())["resample"] == 2
    assert "AutoImageProcessor" in readme(out) and "comes near" not in readme(out)
    out = exported(tmp_path / "timm's", "timm", OF_TIMM, column=OWN)
    settings = json.loads((out / "config.json").read_text())["pretrained_cfg"]
    assert (settings["crop_mode"], settings["interpolation"]) == ("squash", "bilinear")
    assert "comes near" not in readme(out)


@pytest.mark.parametrize("to", ["timm", "huggingface"])
def test_timms_settings_come_as_near_as_they_can(to: str, tmp_path: Path) -> None:
    out = exported(tmp_path, to, OF_TIMM, options=PADDED)
    config = json.loads((out / "config.json").read_text())
    assert config["pretrained_cfg"]["crop_mode"] == "border"
    assert SAID in readme(out) and "comes near to this, and is not the same" in readme(out)
