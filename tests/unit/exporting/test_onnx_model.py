"""`--to onnx`: what onnxruntime gives is what raytl gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from complete_models import AUDIO, BAG, CNN, IMAGE, SERIES, SOUND, TABLE, save_model
from tests_support import ROOT

from raytl import verbs
from raytl.errors import ModelError, RaytlError
from raytl.exporting import needs, onnx_model
from raytl.modalities.text.column import TextColumn

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def run(folder: Path, rows: int) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    data = np.load(folder / "example.npz")
    given = {one.name: data[one.name][:rows] for one in session.get_inputs()}
    found: np.ndarray = session.run(None, given)[0]
    return found


CASES: dict[str, tuple[Any, Any]] = {
    "an image": ({"image": IMAGE}, CNN | {"input_size": 16}),
    "a residual network": ({"image": IMAGE}, {"backbone": "resnet18", "input_size": 32}),
    "a text": ({"text": TextColumn()}, BAG),
    "convolved words": ({"text": TextColumn()}, {"backbone": "text_cnn"}),
    "a table": ({"table": TABLE}, {"backbone": "mlp"}),
    "a series": ({"series": SERIES}, {"backbone": "inception"}),
    "a sound": ({"audio": AUDIO}, SOUND),
}


SLOW = ("a residual network", "convolved words", "a series")


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_outputs_are_raytls_for_any_number_of_rows(case: str, tmp_path: Path) -> None:
    columns, config = CASES[case]
    model = save_model(tmp_path / "best", columns, config)
    found = verbs.export(model, to="onnx", out=tmp_path / "out")
    assert found["apart"] < 1e-4
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "model.onnx", "model.json", "README.md", "example.npz"
    }  # fmt: skip
    wanted = np.load(tmp_path / "out" / "example.npz")["logits"]
    for rows in (1, 4):
        np.testing.assert_allclose(run(tmp_path / "out", rows), wanted[:rows], atol=1e-4)


def test_several_columns_are_several_inputs(tmp_path: Path) -> None:
    columns = {"image": IMAGE, "text": TextColumn(), "table": TABLE}
    parts = {"parts": {"image": CNN, "text": BAG, "table": {"backbone": "mlp"}}}
    verbs.export(save_model(tmp_path / "best", columns, parts), to="onnx", out=tmp_path / "out")
    assert run(tmp_path / "out", 2).shape == (2, 3)
    made = json.loads((tmp_path / "out" / "model.json").read_text())["made"]
    assert made["by"] == "torch.onnx" and made["opset"] >= 17


def test_a_model_that_differs_is_an_error_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})
    of = onnx_model._session
    monkeypatch.setattr(onnx_model, "_session", lambda file: lambda inputs: of(file)(inputs) + 0.01)
    with pytest.raises(ModelError, match="onnxruntime must give what raytl gives to 0.0001, but"):
        verbs.export(model, to="onnx", out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(RaytlError, match=r"onnxscript: not installed, .*'raytl\[onnx\]'"):
        verbs.export(model, to="onnx", out=tmp_path / "out")
    assert 'onnx = ["onnx' in (ROOT / "pyproject.toml").read_text()
