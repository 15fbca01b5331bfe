"""`--to torch`: a program that runs where raytl is not, and gives the same numbers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from complete_models import (
    AUDIO,
    BAG,
    CLASSES,
    CNN,
    GREY,
    IMAGE,
    SERIES,
    SOUND,
    TABLE,
    save_model,
)

import raytl
from raytl import verbs
from raytl.data.importers.inputs import texts_of
from raytl.errors import ModelError
from raytl.modalities.text.column import TextColumn
from raytl.models.source_folder import load_complete_model
from raytl.rows import Given
from raytl.tasks.base import Task
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.columns import ValueColumn
from raytl.tasks.detection import Detection
from raytl.tasks.forecasting import Forecasting
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.regression import Regression
from raytl.tasks.segmentation import Segmentation
from raytl.tasks.sentence_column import SentenceColumn
from raytl.tasks.steps_column import StepsColumn
from raytl.tasks.translation import Translation

# Runs a program on the example beside it, in a process that cannot import raytl
ALONE = """
import sys
sys.modules["raytl"] = None
import json, numpy, torch
folder = sys.argv[1]
facts = json.load(open(f"{folder}/model.json"))
data = numpy.load(f"{folder}/example.npz")
program = torch.export.load(f"{folder}/model.pt2").module()
names = [t["name"] for of in facts["inputs"] for t in of["tensors"]]
for rows in (1, 5):
    given = [torch.from_numpy(data[name][:rows]) for name in names]
    with torch.inference_mode():
        got = program(*given).numpy()
    wanted = data[facts["output"]["name"]][:rows]
    print(abs(got - wanted).max())
"""


def alone(folder: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.split()]


def test_the_program_runs_without_raytl_on_any_number_of_rows(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN | {"input_size": 16})
    found = verbs.export(model, to="torch")
    out = tmp_path / "best-torch"
    assert found["out"] == str(out) and found["apart"] < 1e-4
    assert {file.name for file in out.iterdir()} == {
        "model.pt2", "model.json", "README.md", "example.npz"
    }  # fmt: skip
    assert max(alone(out)) < 1e-4
    facts = json.loads((out / "model.json").read_text())
    assert facts["classes"] == list(CLASSES) and facts["score"] == {"test_accuracy": 0.9}
    (image,) = facts["inputs"][0]["tensors"]
    assert image["shape"] == ["batch", 12, 12, 3] and image["dtype"] == "uint8"
    assert "ants, bees, wasps" in (out / "README.md").read_text()


def test_the_example_is_what_raytl_itself_predicts(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN)
    verbs.export(model, to="torch", out=tmp_path / "out")
    data = np.load(tmp_path / "out" / "example.npz")
    said = raytl.load(model).answers(list(data["image"]))
    shares = np.exp(data["logits"]) / np.exp(data["logits"]).sum(1, keepdims=True)
    found = [[of["probabilities"][name] for name in CLASSES] for of in said]
    np.testing.assert_allclose(found, shares, atol=1e-5)


def mask_task() -> Task:
    return Segmentation(MaskColumn(classes=("sky", "road"), shape=(12, 12)))


def forecast() -> Task:
    return Forecasting(StepsColumn(horizon=4, channel="dim_0", season=2), 100.0, 7.0)


SPATIAL: dict[str, Any] = {"name": "attention", "hidden": 4}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "grey images to colour": ({"image": GREY}, {"backbone": "resnet18", "input_size": 32}, {}),
    "a value": ({"image": IMAGE}, CNN, {"task": Regression(ValueColumn(), 1000.0, 50.0)}),
    "a mask": ({"image": IMAGE}, CNN, {"task": mask_task(), "head": {"name": "unet", "hidden": 8}}),
    "steps to come": ({"series": SERIES}, {"backbone": "inception"}, {"task": forecast()}),
    "mapped maps": ({"image": IMAGE}, CNN, {"mapper": SPATIAL}),
    "a mapper with batch norm": (
        {"image": IMAGE}, CNN, {"mapper": {"name": "mlp", "hidden": 8, "batch_norm": True}}),
    "a bag of words": ({"text": TextColumn()}, BAG, {}),
    "convolved words": ({"text": TextColumn()}, {"backbone": "text_cnn"}, {}),
    "a table": ({"table": TABLE}, {"backbone": "mlp"}, {}),
    "a table by quantiles": (
        {"table": TABLE}, {"backbone": "mlp", "transform": {"scaling": "quantile"}}, {}),
    "a table of tokens": ({"table": TABLE}, {"backbone": "ft_transformer"}, {}),
    "convolved series": ({"series": SERIES}, {"backbone": "inception"}, {}),
    "a sound": ({"audio": AUDIO}, SOUND, {}),
    "several columns": (
        {"image": IMAGE, "text": TextColumn(), "table": TABLE},
        {"parts": {"image": CNN, "text": BAG, "table": {"backbone": "mlp"}}}, {}),
}  # fmt: skip


SLOW = ("grey images to colour", "steps to come", "a table of tokens", "convolved series")


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_networks_and_tasks_of_every_kind_are_exported(case: str, tmp_path: Path) -> None:
    columns, config, more = CASES[case]
    model = save_model(tmp_path / "best", columns, config, **more)
    found = verbs.export(model, to="torch", out=tmp_path / "out")
    assert found["apart"] < 1e-4 * 2000  # of values around 1000
    data = np.load(tmp_path / "out" / "example.npz")
    assert all(np.isfinite(data[name]).all() for name in data if name != "table_numbers")


def test_inputs_of_several_columns_are_named_by_them(tmp_path: Path) -> None:
    columns, config, _ = CASES["several columns"]
    verbs.export(save_model(tmp_path / "best", columns, config), to="torch", out=tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "model.json").read_text())
    names = [tensor["name"] for of in facts["inputs"] for tensor in of["tensors"]]
    assert names == ["image", "text", "text_length", "table_numbers", "table_categories"]
    assert facts["inputs"][2]["made_by"]["categories"] == {"town": ["north", "south", "west"]}
    assert max(alone(tmp_path / "out")) < 1e-4


def test_what_a_text_is_made_by_lies_beside_the_program(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"text": TextColumn()}, BAG)
    verbs.export(model, to="torch", out=tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "model.json").read_text())
    vocabulary = facts["inputs"][0]["made_by"]["vocabulary"]
    complete = load_complete_model(model)
    (transform,) = complete.transforms.values()
    numbers = [vocabulary.index(word) + 2 for word in ("good", "film")]
    assert transform.prepare(texts_of(["good film"])).values.tolist() == [numbers]  # type: ignore[union-attr]
    assert complete.model({"text": Given(transform.example(1))}).out.shape == (1, 3)


@pytest.mark.parametrize("name", ["bilstm", "gru"])
def test_recurrent_layers_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    columns: Any = {"text": TextColumn()} if name == "bilstm" else {"series": SERIES}
    model = save_model(tmp_path / "best", columns, {"backbone": name})
    with pytest.raises(ModelError, match=f"{name} cannot be exported: torch.export unrolls a"):
        verbs.export(model, to="torch", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def boxes() -> tuple[Any, Any, Task, dict[str, Any]]:
    task = Detection(BoxColumn(classes=("cell",), shape=(32, 32)))
    wide = IMAGE.model_copy(update={"shape": (32, 32, 3)})
    return {"image": wide}, CNN, task, {"name": "faster_rcnn"}


def sentences() -> tuple[Any, Any, Task, dict[str, Any]]:
    task = Translation.fitted(SentenceColumn(), [texts_of(["ein film", "gut"])])
    network = {"backbone": "bilstm", "args": {"hidden": 4}}
    return {"text": TextColumn()}, network, task, {"name": "gru_decoder", "hidden": 8}


@pytest.mark.parametrize("to", ["torch", "onnx"])
@pytest.mark.parametrize(
    ("made", "why"),
    [
        (boxes, "a detection cannot be exported: boxes are read out"),
        (sentences, "a translation cannot be exported: sentences are searched for"),
    ],
)
def test_boxes_and_sentences_are_refused_with_the_reason(
    made: Any, why: str, to: str, tmp_path: Path
) -> None:
    columns, config, task, head = made()
    model = save_model(tmp_path / "best", columns, config, task=task, head=head)
    with pytest.raises(ModelError, match=why):
        verbs.export(model, to=to, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
