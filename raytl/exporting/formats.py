"""The formats that a model can be taken along in, and the writing of one, whole or not at all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raytl.config.source_model import model_here
from raytl.exporting.huggingface import export_huggingface
from raytl.exporting.names import TOLD_BY, check_format
from raytl.exporting.onnx_model import export_onnx
from raytl.exporting.timm_model import export_timm
from raytl.exporting.torch_program import export_torch
from raytl.folders import new_folder
from raytl.urls import Place

# Each writes the model of a folder into another; returns what there is to say of it
Format = Callable[[Path, Path], dict[str, Any]]
FORMATS: Mapping[str, Format] = {
    "torch": export_torch,
    "onnx": export_onnx,
    "huggingface": export_huggingface,
    "timm": export_timm,
}


def export_as(to: str, model: Place, out: Place, *, force: bool = False) -> dict[str, Any]:
    """Write a source model with a head as a format under `out`; return by what it was made, and how
    far its outputs lie from raytl's, at most (`apart`).

    Raises UserError for an unknown format, and where `out` exists without `force`; ModelError where
    the model is none, or not one that the format can hold exactly.
    """
    check_format(to)
    with new_folder(out, force, TOLD_BY[to]) as folder:
        return FORMATS[to](model_here(model), folder)
