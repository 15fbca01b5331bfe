"""`--to onnx`: a model that any ONNX runtime takes, compared with onnxruntime before it is kept."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raytl.errors import ModelError
from raytl.exporting.needs import need
from raytl.exporting.programs import CHECKED, TRACED_ROWS, write_beside
from raytl.exporting.torch_program import first_line, traced
from raytl.exporting.whole import Whole, check_same, open_whole, trial_rows

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(model: Path, folder: Path) -> dict[str, Any]:
    """Write an ONNX model of the model in `model` into `folder`; return what there is to say of it.

    Raises ModelError for a model that cannot be traced or has an operation that ONNX lacks, and
    where onnxruntime says something else; RaytlError where the extra `onnx` is missing.
    """
    need("onnx", PACKAGES)
    complete, whole = open_whole(model)
    tensors = trial_rows(complete, whole, TRACED_ROWS).tensors
    opset = _write(whole, traced(whole, tensors), tensors, folder / FILE)
    run, apart = _session(folder / FILE), 0.0
    for rows in CHECKED:
        trial = trial_rows(complete, whole, rows, seed=rows)
        given = zip(whole.inputs, trial.tensors, strict=True)
        got = run({slot.name: tensor.numpy() for slot, tensor in given})
        apart = max(apart, check_same(got, trial, "onnxruntime"))
    made = {"by": "torch.onnx", "torch": str(torch.__version__), "opset": opset, "apart": apart}
    names = ", ".join(f'"{slot.name}": {slot.name}' for slot in whole.inputs)
    code = (
        "import onnxruntime\n\n"
        f'session = onnxruntime.InferenceSession("{FILE}")\n'
        f"({whole.ending.slot.name},) = session.run(None, {{{names}}})"
    )
    write_beside(folder, complete, whole, trial, made, code)
    return made


def _write(
    whole: Whole, program: torch.export.ExportedProgram, tensors: tuple[torch.Tensor, ...],
    file: Path,
) -> int:  # fmt: skip
    """Write the model in one file; return the version of ONNX's operations."""
    try:
        with _quiet():
            found = torch.onnx.export(
                program, tensors, dynamo=True, verbose=False,
                input_names=[slot.name for slot in whole.inputs],
                output_names=[whole.ending.slot.name],
            )  # fmt: skip
            assert found is not None
            found.save(str(file), external_data=False)
    except Exception as error:  # the exporter raises whatever an operation provokes
        raise ModelError(
            f"{whole.called}: torch.onnx cannot write this network: {first_line(error)}; "
            "--to torch takes it"
        ) from None
    return int(found.model.opset_imports[""])


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of classes without public names
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} cannot load the model: {first_line(error)}; "
            "--to torch takes it"
        ) from None

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        found: np.ndarray = session.run(None, inputs)[0]
        return found

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from reporting on its own; what matters is told as errors."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
