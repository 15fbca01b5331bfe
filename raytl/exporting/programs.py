"""What programs for torch and for ONNX have in common: their sides, and the files beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raytl.exporting.fronts.base import BATCH, LENGTH
from raytl.exporting.whole import Trial, Whole, facts_of
from raytl.models.source_folder import CompleteModel

FACTS, EXAMPLE, README = "model.json", "example.npz", "README.md"
TRACED_ROWS = 3  # of the batch that a program is traced with: no side that a network has by itself
CHECKED = (1, 2, 5)  # rows of the batches that it is checked with


def dynamic_shapes(whole: Whole) -> tuple[dict[int, Any], ...]:
    """Return which sides of each input may be of any size, as torch.export takes it."""
    batch = torch.export.Dim(BATCH, min=1)
    dims: dict[str, Any] = {BATCH: batch}
    found = []
    for front in whole.of_column().values():
        # Of its own for each column; above what a row may have nobody asks
        most = {} if front.longest is None else {"max": front.longest}
        dims[LENGTH] = torch.export.Dim(f"{front.slots[0].name}_{LENGTH}", min=1, **most)
        for slot in front.slots:
            found.append({i: dims[side] for i, side in enumerate(slot.shape)
                          if isinstance(side, str)})  # fmt: skip
    return tuple(found)


def write_beside(
    folder: Path, complete: CompleteModel, whole: Whole, trial: Trial, made: dict[str, Any],
    code: str,
) -> None:  # fmt: skip
    """Write what says how a program is used: `model.json`, `README.md`, an example and the files
    that inputs are made by. `made`: by what it was made and how far it was off; `code`: the lines
    that run it."""
    inputs = []
    for column, front in whole.of_column().items():
        for name, content in front.own_files().items():
            (folder / _own_name(name, column, whole)).write_text(content, encoding="utf-8")
        slots = [_slot_facts(slot) for slot in front.slots]
        inputs.append({"column": column, "tensors": slots, "made_by": front.own_facts()})
    facts = facts_of(complete) | {
        "inputs": inputs, "output": _slot_facts(whole.ending.slot), "made": made,
    }  # fmt: skip
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (folder / FACTS).write_text(text, encoding="utf-8")
    names = [slot.name for slot in whole.inputs]
    arrays: dict[str, Any] = {
        n: tensor.numpy() for n, tensor in zip(names, trial.tensors, strict=True)
    }
    np.savez(folder / EXAMPLE, **arrays | {whole.ending.slot.name: trial.wanted.numpy()})
    (folder / README).write_text(_readme(complete, whole, code), encoding="utf-8")


def _own_name(name: str, column: str, whole: Whole) -> str:
    files = [n for front in whole.of_column().values() for n in front.own_files()]
    return name if files.count(name) == 1 else f"{column}-{name}"


def _slot_facts(slot: Any) -> dict[str, Any]:
    return {"name": slot.name, "dtype": slot.dtype, "shape": list(slot.shape), "holds": slot.holds}


def _readme(complete: CompleteModel, whole: Whole, code: str) -> str:
    spec = complete.spec
    lines = [
        f"# A {complete.task.name} by {spec.backbone}",
        "",
        "Exported by raytl, which is not needed to run it.",
        "",
        *(["Score: " + spec.score_text + ".", ""] if spec.score_text else []),
        "Inputs, in this order (batch and length may be of any size):",
        "",
        *(f"- `{s.name}`: {s.dtype} {_shape(s.shape)}: {s.holds}" for s in whole.inputs),
        "",
        f"Output: {whole.ending.slot.dtype} {_shape(whole.ending.slot.shape)}: "
        f"{whole.ending.slot.holds}.",
        "",
    ]
    if spec.classes is not None:
        lines += [f"Classes, in the order of the output: {', '.join(spec.classes)}.", ""]
    lines += ["```python", code, "```", ""]
    lines.append(
        f"`{FACTS}` says the same for programs, and what inputs are made by; `{EXAMPLE}` holds "
        "inputs that were drawn and the outputs to them, to check your own program by."
    )
    return "\n".join(lines) + "\n"


def _shape(shape: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
