"""Source models: load, save, verify.

A source model is a folder of `model.safetensors` and `source.json`, or weights of torchvision, timm
or Hugging Face, or a local state dict, or a fresh network.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raytl.config import SourceModelConfig, nearest
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.files import digest_of
from raytl.folders import new_folder
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column, Values
from raytl.modalities.registry import modality_of, stored_modality
from raytl.models.branch import Branch, Part, key_of
from raytl.models.fusion import build_fusion
from raytl.models.grafting import build_network, graft
from raytl.models.mappers import build_mapper
from raytl.models.source_spec import (
    IMAGE,
    SPEC_FILE,
    WEIGHTS_FILE,
    PartSpec,
    SourceSpec,
    check_head,
    read_spec,
    sha256_of,
    verify_source_model,
)
from raytl.models.transfer_model import TransferModel
from raytl.seeds import seed_for
from raytl.state_dicts import load_strictly
from raytl.tasks.base import Task
from raytl.tasks.registry import stored_task
from raytl.urls import Place, place_of

PREFIXES = ("branches.", "fusion.", "mapper.", "head.")
VERSION_1 = "backbone."  # where version 1 had the weights of its one part
Samples = Callable[[str], Values]  # a column → values of training rows, to fit a transform to


@dataclass
class SourceModel:
    """Parts by column, and what is known of them."""

    name: str
    parts: dict[str, Part]
    spec: SourceSpec

    @property
    def transferred(self) -> bool:
        """Whether any weights are pretrained."""
        return any(part.transferred for part in self.parts.values())

    @property
    def draws(self) -> bool:
        """Whether any weights were drawn by seed."""
        return any(part.draws for part in self.parts.values())

    def reading(self, inputs: str) -> "SourceModel":
        """Return the part that reads the column `inputs` alone; all of them for "all". Raises
        ModelError where it has no such part."""
        if inputs == "all":
            return self
        if inputs not in self.parts:
            raise ModelError(
                f"inputs: {self.name} does not read '{inputs}'; {nearest(inputs, list(self.parts))}"
            )
        spec = self.spec.model_copy(update={"parts": {inputs: self.spec.parts[inputs]}})
        return SourceModel(self.name, {inputs: self.parts[inputs]}, spec)

    def clone(self) -> "SourceModel":
        """Return a copy whose weights are its own."""
        return replace(self, parts={name: part.clone() for name, part in self.parts.items()})


def load_source_model(
    name: str,
    config: SourceModelConfig,
    columns: Mapping[str, Column],
    samples: Samples,
    seed: int,
    fitted: dict[str, Transform] | None = None,
) -> SourceModel:
    """Load a source model for rows of `columns`; fresh weights come from `seed`, and transforms are
    fitted to `samples` where they are not fixed. `fitted`: those of a plain configuration that were
    fitted before, by column; it is added to.

    The global random state is left alone. Raises ModelError where weights or columns do not fit,
    CorruptError where a stored folder is broken, RaytlError where a download fails.
    """
    if config.folder is not None:
        return _stored_source_model(name, config.folder, columns, samples, seed)
    if config.parts is not None:

        def load(column: str, part: SourceModelConfig, of: int) -> SourceModel:
            return load_source_model(name, part, {column: columns[column]}, samples, of)

        return _in_parts(name, config.parts, columns, load, seed)
    column = _only(columns)
    modality = modality_of(columns[column])
    with _seeded(seed):
        if config.graft is not None:
            part = graft(config, modality, columns[column], lambda: samples(column))
        else:
            known = {} if fitted is None else fitted
            if column not in known:
                modality.check(config)
                known[column] = modality.fit(config, columns[column], partial(samples, column))
            part = _plain_part(config, modality, known[column])
    weights = sha256_of(config.weights_file) if config.has_local_weights else config.weights
    note = None if config.graft is None else "the stem is fresh"
    spec = SourceSpec(
        parts={column: part_spec(part).model_copy(update={"note": note})},
        trained_on=None if config.weights is None else {"weights": _weights_name(config)},
        weights_sha256=None if weights is None else str(weights),
    )
    return SourceModel(name, {column: part}, spec)


def _weights_name(config: SourceModelConfig) -> str:
    """A file by its name alone: it may be moved, and its SHA-256 is known."""
    given = str(config.weights)
    return place_of(given).name if config.has_local_weights else given


def _plain_part(config: SourceModelConfig, modality: Modality, transform: Transform) -> Part:
    if config.is_fresh:
        backbone = modality.build(config.origin, transform, config.args)
    else:
        backbone = modality.load(config, transform)
    fresh = modality.fresh_blocks(config, backbone)
    return Part(modality, transform, backbone, config.args, fresh, draws=bool(fresh))


def _only(columns: Mapping[str, Column]) -> str:
    if len(columns) != 1:
        first = next(iter(columns))
        raise ModelError(
            f"it reads one column, but the domains have {len(columns)} ({', '.join(columns)}); "
            f"say which, as in parts: {{{first}: …}}, or name one of them in inputs"
        )
    return next(iter(columns))


def _in_parts(
    name: str,
    configs: Mapping[str, SourceModelConfig],
    columns: Mapping[str, Column],
    load: Callable[[str, SourceModelConfig, int], SourceModel],
    seed: int,
) -> SourceModel:
    """Load a source model for each column that is named; other columns are not read. `load`: of a
    column, with the seed of its weights."""
    parts: dict[str, Part] = {}
    specs: dict[str, PartSpec] = {}
    weights: dict[str, str | None] = {}
    for number, (column, config) in enumerate(configs.items()):
        if column not in columns:
            raise ModelError(
                f"parts.{column}: parts must be among the inputs, but there is no column "
                f"'{column}'; {nearest(column, list(columns))}"
            )
        try:
            one = load(column, config, seed_for(seed, number))
        except RaytlError as error:
            raise type(error)(f"parts.{column}: {error}") from None
        parts |= one.parts
        specs |= one.spec.parts
        weights[column] = one.spec.weights_sha256
    known = any(sha is not None for sha in weights.values())
    spec = SourceSpec(parts=specs, weights_sha256=digest_of(weights) if known else None)
    return SourceModel(name, parts, spec)


def part_spec(part: Part) -> PartSpec:
    """Return what `source.json` says of a part."""
    return PartSpec(
        modality=part.modality.name,
        backbone=part.backbone.name,
        args=part.args,
        blocks=len(part.backbone.blocks),
        feature_dim=part.backbone.feature_dim,
        transform=part.transform.facts(),
    )


def _stored_source_model(
    name: str, path: Path, columns: Mapping[str, Column], samples: Samples, seed: int
) -> SourceModel:
    spec, tensors = read_spec(path), _read_weights(path)
    parts: dict[str, Part] = {}
    specs: dict[str, PartSpec] = {}
    for of_spec, of_data in matched_columns(path, spec, columns).items():
        stored = _stored_part(path, of_spec, spec.parts[of_spec], tensors)
        parts[of_data], note = _adapted(stored, columns[of_data], partial(samples, of_data), seed)
        specs[of_data] = part_spec(parts[of_data]).model_copy(update={"note": note})
    return SourceModel(name, parts, spec.model_copy(update={"parts": specs}))


def _adapted(part: Part, column: Column, sample: Sample, seed: int) -> tuple[Part, str | None]:
    """Return a stored part as it reads rows of `column`, and what is to be known of that."""
    with _seeded(seed):
        backbone, transform, note = part.modality.adapted(
            part.backbone, part.transform, part.args, column, sample
        )
    draws = backbone is not part.backbone
    return replace(part, backbone=backbone, transform=transform, draws=draws), note


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


@dataclass
class SourceModels:
    """A study's source models, each opened once. `clone` what is trained."""

    configs: Mapping[str, SourceModelConfig]
    columns: Mapping[str, Column]
    samples: Samples
    _opened: dict[tuple[str | int, ...], SourceModel] = field(default_factory=dict)
    _fitted: dict[str, dict[str, Transform]] = field(default_factory=dict)

    def open(self, name: str, seed: int) -> SourceModel:
        """Return a source model; fresh weights come from `seed`. Raises as `load_source_model`."""
        config, columns = self.configs[name], self.columns
        if config.parts is None:
            return self._once((name,), seed, lambda: self._loaded(name, config, columns, seed))

        def part(column: str, of: SourceModelConfig, its: int) -> SourceModel:
            one = {column: columns[column]}
            return self._once((name, column), its, lambda: self._loaded(name, of, one, its))

        parts = config.parts
        return self._once((name,), seed, lambda: _in_parts(name, parts, columns, part, seed))

    def open_fresh(self, name: str, seed: int) -> SourceModel:
        """Return the same networks with random weights, from `seed`, and the same transforms."""
        model = self.open(name, seed)
        if not model.transferred:
            return model
        return self._once((name, "", "fresh"), seed, lambda: _fresh(model, seed))

    def _loaded(
        self, name: str, config: SourceModelConfig, columns: Mapping[str, Column], seed: int
    ) -> SourceModel:
        fitted = self._fitted.setdefault(name, {})
        return load_source_model(name, config, columns, self.samples, seed, fitted)

    def _once(
        self, key: tuple[str, ...], seed: int, load: Callable[[], SourceModel]
    ) -> SourceModel:
        """Return what was opened before: for any seed where none was needed, else for this one."""
        for_any: tuple[str | int, ...] = key
        for_seed: tuple[str | int, ...] = (*key, seed)
        for known in (for_any, for_seed):
            if known in self._opened:
                return self._opened[known]
        model = load()
        return self._opened.setdefault(for_seed if model.draws else for_any, model)


def _fresh(model: SourceModel, seed: int) -> SourceModel:
    parts = {}
    with _seeded(seed):
        for name, part in model.parts.items():
            backbone = build_network(part.modality, part.backbone.name, part.transform, part.args)
            every = frozenset(range(len(backbone.blocks)))
            parts[name] = replace(part, backbone=backbone, fresh=every, draws=True)
    spec = model.spec.model_copy(update={"trained_on": None, "weights_sha256": None})
    return SourceModel(f"{model.name} (fresh)", parts, spec)


def save_source_model(
    out: Place, model: TransferModel, spec: SourceSpec, *, force: bool = False
) -> SourceSpec:
    """Write a source model with its mapper and head, whole or not at all; return its final spec.

    Raises UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    tensors = {
        key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()
    }
    with new_folder(out, force) as folder:
        try:
            save_file(tensors, folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(None, str(error)) from None
        final = spec.model_copy(update={"weights_sha256": sha256_of(folder / WEIGHTS_FILE)})
        text = json.dumps(final.model_dump(mode="json"), indent=1)
        (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    return final


def inspect_source_model(path: Path) -> dict[str, Any]:
    """Return what a source model's folder holds, ready for JSON, once it was compared with what it
    says of itself. Raises ModelError where there is none, CorruptError where it is broken."""
    spec, tensors = verify_source_model(path), _read_weights(path)
    if spec.complete:
        load_complete_model(path)
    parts = {name: _stored_part(path, name, part, tensors) for name, part in spec.parts.items()}
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
    spec, tensors = verify_source_model(path), _read_weights(path)
    check_head(spec, path)
    assert spec.mapper is not None and spec.head is not None and spec.task is not None
    with torch.random.fork_rng(devices=[]), _as_stored(path):
        parts = {name: _stored_part(path, name, part, tensors) for name, part in spec.parts.items()}
        branches = {name: Branch(part, ()) for name, part in parts.items()}
        fusion = build_fusion(
            spec.fusion, {name: part.backbone.feature_dim for name, part in parts.items()}
        )
        mapper = build_mapper(spec.mapper, fusion.out_dim)
        try:
            task = stored_task(spec.task)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"task: {error}") from None
        head = task.head(spec.head, mapper.out_dim)
    model = TransferModel(branches, fusion, mapper, head)
    for name, module in (("fusion", fusion), ("mapper", mapper), ("head", head)):
        _load_part(f"{name}.", module, tensors, path)
    return CompleteModel(model, task, spec)


def _stored_part(path: Path, name: str, spec: PartSpec, tensors: dict[str, Tensor]) -> Part:
    """Build the network that `source.json` names, compare the two, and load its weights."""
    with _as_stored(path), _seeded(0):
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


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return a folder's tensors under today's names."""
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
    strange = [key for key in named if not key.startswith(PREFIXES)]
    if strange:
        raise CorruptError(
            f"{file}: '{strange[0]}' belongs to no part of a source model; copy or make it again"
        )
    return named
