"""What no format takes, and what goes wrong in other libraries, is told with another way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from complete_models import CNN, IMAGE, TABLE, classification, save_model
from torch import Tensor

from raytl import verbs
from raytl.errors import ModelError
from raytl.exporting import onnx_model, timm_model
from raytl.exporting.fronts.registry import front_of
from raytl.exporting.linear import linear_model
from raytl.exporting.whole import Trial, check_same
from raytl.modalities.table.mlp import SumStem
from raytl.models.source_folder import load_complete_model
from raytl.tasks.base import Task
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.segmentation import Segmentation

NET = {"backbone": "timm/test_resnet", "input_size": 32}


def refused(model: Path, to: str, told: str) -> None:
    """Expect that an export says so, in three lines at most, and leaves nothing."""
    before = sorted(model.parent.iterdir())
    with pytest.raises(ModelError, match=told) as error:
        verbs.export(model, to=to, out=model.parent / "out")
    assert len(str(error.value).splitlines()) <= 3
    assert sorted(model.parent.iterdir()) == before


def stems_that(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    """Make the stems of tables do something more."""
    plain = SumStem.forward
    monkeypatch.setattr(SumStem, "forward", lambda self, x: change(plain(self, x)))


def table_model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})


@pytest.mark.parametrize("to", ["torch", "onnx"])
def test_a_network_that_cannot_be_traced_is_told_with_the_reason(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = table_model(tmp_path)
    stems_that(monkeypatch, lambda h_BD: h_BD if float(h_BD.sum()) > 0 else -h_BD)
    refused(model, to, "^mlp: torch.export cannot trace this network: .+; use `raytl predict`, or")


def test_an_operation_that_onnx_lacks_is_told_with_the_format_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = table_model(tmp_path)
    stems_that(monkeypatch, torch.special.bessel_j0)
    refused(model, "onnx", "^mlp: torch.onnx cannot write this network: .+; --to torch takes it$")
    assert verbs.export(model, to="torch", out=tmp_path / "out")["apart"] < 1e-4


def test_a_model_that_onnxruntime_cannot_load_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def write(whole: Any, program: Any, tensors: Any, file: Path) -> int:
        file.write_bytes(b"no model")
        return 18

    monkeypatch.setattr(onnx_model, "_write", write)
    told = r"^onnxruntime [\d.]+ cannot load the model: .+; --to torch takes it$"
    refused(table_model(tmp_path), "onnx", told)


def test_somebody_elses_transform_has_no_front() -> None:
    class Smells:
        pass

    transform: Any = Smells()
    with pytest.raises(ModelError, match="^column 'nose': Smells has no front that is exported; "):
        front_of("nose", transform, None)


def test_outputs_of_another_shape_or_size_are_told() -> None:
    trial = Trial((), torch.full((2, 3), 20.0))
    assert check_same(np.full((2, 3), 20.001), trial, "timm") == pytest.approx(0.001, rel=1e-3)
    with pytest.raises(ModelError, match=r"^timm gives \(2, 2\) where raytl gives \(2, 3\); noth"):
        check_same(torch.zeros(2, 2), trial, "timm")
    for odd, apart in ((20.01, "0.01"), (float("nan"), "nan")):
        with pytest.raises(ModelError, match=f"to 0.0001, but differs by {apart} beside outputs up "
                           "to 20; nothing was written"):  # fmt: skip
            check_same(np.full((2, 3), odd), trial, "timm")


def test_masks_have_no_linear_head(tmp_path: Path) -> None:
    task: Task = Segmentation(MaskColumn(classes=("sky", "road"), shape=(12, 12)))
    head = {"name": "unet", "hidden": 8}
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, task=task, head=head)
    with pytest.raises(ModelError, match="but a segmentation reads maps or tokens; --to torch and"):
        linear_model(load_complete_model(model), "timm")


def test_a_classifier_of_timms_that_is_no_linear_layer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, NET, task=classification())
    monkeypatch.setattr(timm.models.ResNet, "get_classifier", lambda self: torch.nn.Identity())
    told = "^--to timm needs a linear classifier, but that of timm's test_resnet is a Identity; --"
    refused(model, "timm", told)


def test_a_network_that_timm_of_today_cuts_in_another_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "best", {"image": IMAGE}, NET)
    monkeypatch.setattr(timm_model, "cut_timm", lambda *_: torch.nn.Linear(1, 1))
    refused(model, "timm", "^timm/test_resnet: timm of today has no '.+'; take its old version$")
