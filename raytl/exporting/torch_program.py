"""`--to torch`: a program of torch.export, which runs where torch is and raytl is not."""

from pathlib import Path
from typing import Any

import torch

from raytl.errors import ModelError
from raytl.exporting.programs import CHECKED, TRACED_ROWS, dynamic_shapes, write_beside
from raytl.exporting.whole import Whole, check_same, open_whole, trial_rows

FILE = "model.pt2"


def export_torch(model: Path, folder: Path) -> dict[str, Any]:
    """Write a program of the model in `model` into `folder`; return what there is to say of it.

    Raises ModelError for a model that cannot be traced, or whose program says something else.
    """
    complete, whole = open_whole(model)
    program = traced(whole, trial_rows(complete, whole, TRACED_ROWS).tensors)
    torch.export.save(program, folder / FILE)
    run = torch.export.load(folder / FILE).module()
    apart = 0.0
    for rows in CHECKED:
        trial = trial_rows(complete, whole, rows, seed=rows)
        with torch.inference_mode():
            apart = max(apart, check_same(run(*trial.tensors), trial, "the program"))
    made = {"by": "torch.export", "torch": str(torch.__version__), "apart": apart}
    names = ", ".join(slot.name for slot in whole.inputs)
    code = (
        "import torch\n\n"
        f'program = torch.export.load("{FILE}").module()\n'
        f"{whole.ending.slot.name} = program({names})"
    )
    write_beside(folder, complete, whole, trial, made, code)
    return made


def traced(whole: Whole, tensors: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    """Return the program of a module. Raises ModelError where it cannot be traced."""
    try:
        with torch.no_grad():
            return torch.export.export(whole, tensors, dynamic_shapes=(dynamic_shapes(whole),))
    except Exception as error:  # tracing raises whatever a network's code provokes
        raise ModelError(
            f"{whole.called}: torch.export cannot trace this network: {first_line(error)}; use "
            "`raytl predict`, or raytl.load in a program of your own"
        ) from None


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, cut to a sentence's length."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:240]
