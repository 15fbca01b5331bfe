"""`--to huggingface`: folders that transformers loads, with the same logits."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from complete_models import AUDIO, BAG, CLASSES, CNN, IMAGE, SOUND, save_model

import raytl
from raytl import verbs
from raytl.errors import ModelError
from raytl.exporting.linear import wanted_of
from raytl.exporting.timm_model import trial_images
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.models.source_folder import load_complete_model
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.regression import Regression

sys.path.insert(0, str(Path(__file__).parent.parent / "modalities" / "text"))
from text_support import save_folder

TEXTS = ["good film", "bad", "good bad good film film film", "nobody knows"]
TEXT = {"text": TextColumn()}


def text_model(tmp_path: Path, kind: str, **more: Any) -> Path:
    save_folder(tmp_path / "hub", kind)
    pooling = more.pop("pooling", "cls")
    config = {"huggingface": str(tmp_path / "hub"), "args": {"pooling": pooling}}
    return save_model(tmp_path / "best", TEXT, config, **more)


@pytest.mark.parametrize("kind", ["distilbert", "electra", "deberta", "deberta-v2"])
def test_transformers_reads_the_same_in_texts(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = text_model(tmp_path, kind, mapper={"name": "linear", "out": 6})
    out = tmp_path / "out"
    assert verbs.export(model, to="huggingface", out=out)["apart"] < 1e-4
    loaded = AutoModelForSequenceClassification.from_pretrained(out).eval()
    tokens = AutoTokenizer.from_pretrained(out)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        shares = loaded(**tokens).logits.softmax(1)
    said = raytl.load(model).answers(TEXTS)
    found = [[of["probabilities"][name] for name in CLASSES] for of in said]
    np.testing.assert_allclose(found, shares.numpy(), atol=1e-4)
    assert loaded.config.id2label == dict(enumerate(CLASSES))
    assert loaded.config.problem_type == "single_label_classification"


def test_a_value_of_a_text_is_a_regression(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    task = Regression(ValueColumn(), 10.0, 2.0)
    model = text_model(tmp_path, "distilbert", task=task)
    verbs.export(model, to="huggingface", out=tmp_path / "out")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert loaded.config.problem_type == "regression" and loaded.config.num_labels == 1
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")(TEXTS[:1], return_tensors="pt")
    with torch.no_grad():
        value = float(loaded(**tokens).logits)
    assert raytl.load(model).answers(TEXTS[:1])[0]["predicted"] == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "more", "why"),
    [
        ("bert", {}, "a bert for sequence classification has a tanh"),
        ("roberta", {}, "a roberta for sequence classification has a tanh"),
        ("distilbert", {"pooling": "mean"}, "reads the first token, but this model reads the mean"),
        ("distilbert", {"head": {"name": "mlp"}}, "this model's head is mlp"),
    ],
)
def test_what_transformers_cannot_hold_is_refused_with_another_format(
    kind: str, more: dict[str, Any], why: str, tmp_path: Path
) -> None:
    model = text_model(tmp_path, kind, **more)
    with pytest.raises(ModelError, match=f"{why}.*; --to torch and --to onnx take"):
        verbs.export(model, to="huggingface", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_numbers_than_the_layer_holds_are_refused(tmp_path: Path) -> None:
    task = Classification(LabelColumn(classes=tuple(f"class {k}" for k in range(9))))
    model = text_model(tmp_path, "distilbert", task=task)
    told = "2 · numbers of the head <= features must hold, but got 9 and 16; --to torch and --to"
    with pytest.raises(ModelError, match=told):
        verbs.export(model, to="huggingface", out=tmp_path / "out")


def test_other_networks_and_other_rows_are_refused(tmp_path: Path) -> None:
    for name, columns, config, why in (
        ("bag", TEXT, BAG, "needs a network of Hugging Face for texts, but this model's is bag_of"),
        ("cnn", {"image": IMAGE}, CNN, "transformers has no network that is small_cnn"),
        ("sound", {"audio": AUDIO}, SOUND, "reads texts alone or images alone, but this one reads"),
    ):
        model = save_model(tmp_path / name, columns, config)
        with pytest.raises(ModelError, match=why):
            verbs.export(model, to="huggingface", out=tmp_path / "out")


IMAGES: dict[str, dict[str, Any]] = {
    "torchvision's": {"backbone": "resnet18", "input_size": 32},
    "torchvision's bottlenecks": {"backbone": "resnet50", "input_size": 32},
    "timm's": {"backbone": "timm/test_resnet", "input_size": 32},
    "timm's, of another size": {"backbone": "timm/test_vit", "input_size": 64},
}


@pytest.mark.parametrize("name", IMAGES)
def test_transformers_sees_the_same_in_images(name: str, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    size = IMAGES[name]["input_size"]
    column = ImageColumn(shape=(size, size, 3), dtype="uint8")
    model = save_model(tmp_path / "best", {"image": column}, IMAGES[name])
    out = tmp_path / "out"
    verbs.export(model, to="huggingface", out=out)
    loaded = AutoModelForImageClassification.from_pretrained(out).eval()
    complete = load_complete_model(model)
    x_BCHW = trial_images(complete, rows=2)
    with torch.no_grad():
        got = loaded(pixel_values=x_BCHW).logits
    wanted = wanted_of(complete, x_BCHW)
    limit = 1e-4 * max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=limit)
    assert list(loaded.config.id2label.values()) == list(CLASSES)
    picture = np.zeros((40, 50, 3), np.uint8)
    read = AutoImageProcessor.from_pretrained(out)(picture, return_tensors="pt")["pixel_values"]
    assert read.shape == (1, 3, size, size)
    assert json.loads((out / "config.json").read_text())["model_type"] in ("resnet", "timm_wrapper")
