"""The folder of a source model, read back and compared with what it says of itself.

It holds `model.safetensors` and `source.json`; `source_model.save_source_model` writes it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.errors import CorruptError, ModelError
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.registry import modality_of, stored_modality
from raytl.models.branch import Branch, Part, key_of
from raytl.models.fusion import build_fusion
from raytl.models.grafting import build_network
from raytl.models.mappers import build_mapper
from raytl.models.seeding import seeded
from raytl.models.source_spec import (
    IMAGE,
    SPEC_FILE,
    WEIGHTS_FILE,
    PartSpec,
    SourceSpec,
    check_head,
    verify_source_model,
)
from raytl.models.task_heads import head_of
from raytl.models.transfer_model import TransferModel
from raytl.state_dicts import load_strictly
from raytl.tasks.base import Task
from raytl.tasks.registry import stored_task

BETWEEN = ("fusion.", "mapper.", "head.")  # the tensors that are of no part
VERSION_1 = "backbone."  # where version 1 had the weights of its one part


def inspect_source_model(path: Path) -> dict[str, Any]:
    """Return what a source model's folder holds, ready for JSON, once it was compared with what it
    says of itself. Raises ModelError where there is none, CorruptError where it is broken."""
    spec = verify_source_model(path)
    tensors = read_weights(path, spec)
    if spec.complete:
        load_complete_model(path)
    parts = {name: stored_part(path, name, part, tensors) for name, part in spec.parts.items()}
    facts = spec.model_dump(mode="json", exclude_none=True)
    count = sum(p.numel() for part in parts.values() for p in part.backbone.parameters())
    return {"path": str(path)} | facts | {"backbone_parameters": count, "verified": True}


@dataclass(frozen=True)
class CompleteModel:
    """A source model that can predict."""

    model: TransferModel
    task: Task
    spec: SourceSpec

    @property
    def transforms(self) -> dict[str, Transform]:
        """Each column's transform."""
        return {name: branch.transform for name, branch in self.model.named_branches.items()}


def load_complete_model(path: Path) -> CompleteModel:
    """Load branches, mapper and head. Raises ModelError where the folder has no head, CorruptError
    where it is broken."""
    spec = verify_source_model(path)
    tensors = read_weights(path, spec)
    check_head(spec, path)
    assert spec.mapper is not None and spec.head is not None and spec.task is not None
    with torch.random.fork_rng(devices=[]), _as_stored(path):
        parts = {name: stored_part(path, name, part, tensors) for name, part in spec.parts.items()}
        fusion = build_fusion(
            spec.fusion, {name: part.backbone.feature_dim for name, part in parts.items()}
        )
        mapper = build_mapper(spec.mapper, fusion.out_dim)
        try:
            task = stored_task(spec.task)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"task: {error}") from None
        head = head_of(task, spec.head, mapper.out_dim, parts)
        branches = {n: Branch(part, (), tapped=task.reads == "taps") for n, part in parts.items()}
    model = TransferModel(branches, fusion, mapper, head, task.reads)
    for name, module in (("fusion", fusion), ("mapper", mapper), ("head", head)):
        _load_part(f"{name}.", module, tensors, path)
    return CompleteModel(model, task, spec)


def stored_part(path: Path, name: str, spec: PartSpec, tensors: dict[str, Tensor]) -> Part:
    """Build the network that `source.json` names, compare the two, and load its weights, out of the
    folder's `tensors`. Raises CorruptError where they do not agree."""
    with _as_stored(path), seeded(0):
        modality = stored_modality(spec.modality)
        try:
            transform = modality.transform(spec.transform)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"parts: {name}: transform: {error}") from None
        backbone = build_network(modality, spec.backbone, transform, spec.args)
    for what, said, found in (
        ("blocks", spec.blocks, len(backbone.blocks)),
        ("feature_dim", spec.feature_dim, backbone.feature_dim),
    ):
        if said != found:
            raise CorruptError(
                f"{path / SPEC_FILE}: {what} is {said}, but {spec.backbone} with args {spec.args} "
                f"has {found}; copy or make the source model again"
            )
    _load_part(f"branches.{key_of(name)}.backbone.", backbone, tensors, path)
    return Part(modality, transform, backbone, spec.args, fresh=frozenset(), draws=False)


def _load_part(prefix: str, module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    with _as_stored(path):
        load_strictly(module, own, f"{WEIGHTS_FILE}: {prefix.rstrip('.')}")


@contextlib.contextmanager
def _as_stored(path: Path) -> Iterator[None]:
    """What `source.json` names and its weights do not hold is no mistake of the user's."""
    try:
        yield
    except ModelError as error:
        raise CorruptError(
            f"{path}: {SPEC_FILE} and {WEIGHTS_FILE} do not agree: {error}; copy or make the "
            "source model again"
        ) from None


def read_weights(path: Path, spec: SourceSpec) -> dict[str, Tensor]:
    """Return a folder's tensors under today's names. Raises CorruptError where they cannot be read
    or belong to no part of `spec`."""
    file = path / WEIGHTS_FILE
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CorruptError(
            f"{file}: the weights cannot be read: {error}; copy or make the source model again"
        ) from None
    named = {
        f"branches.{key_of(IMAGE)}.{key}" if key.startswith(VERSION_1) else key: value
        for key, value in tensors.items()
    }
    own = tuple(f"branches.{key_of(name)}.backbone." for name in spec.parts)
    strange = [key for key in named if not key.startswith((*own, *BETWEEN))]
    if strange:
        raise CorruptError(
            f"{file}: '{strange[0]}' belongs to no part of a source model; copy or make it again"
        )
    return named


def matched_columns(path: Path, spec: SourceSpec, columns: Mapping[str, Column]) -> dict[str, str]:
    """Return which part of a stored source model reads which column: one of its name, or the only
    one of its kind. Raises ModelError where a part has none."""
    found: dict[str, str] = {}
    for name, part in spec.parts.items():
        kin = [c for c, column in columns.items() if modality_of(column).name == part.modality]
        if name in kin:
            found[name] = name
        elif len(kin) == 1:
            found[name] = kin[0]
    if set(found) != set(spec.parts) or len(set(found.values())) < len(found):
        parts = ", ".join(f"{name} ({part.modality})" for name, part in spec.parts.items())
        given = ", ".join(f"{name} ({column.kind})" for name, column in columns.items())
        raise ModelError(
            f"{path} reads {parts}, but the domains have {given}; name other inputs, or another "
            "source model"
        )
    return found
