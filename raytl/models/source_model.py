"""Source models: load for a study's columns, save.

A source model is a folder of `model.safetensors` and `source.json`, or weights of torchvision, timm
or Hugging Face, or a local state dict, or a fresh network.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from raytl.config import SourceModelConfig, nearest
from raytl.errors import ModelError, RaytlError
from raytl.files import digest_of
from raytl.folders import new_folder
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column, Values
from raytl.modalities.registry import modality_of
from raytl.models.branch import Part
from raytl.models.grafting import graft
from raytl.models.seeding import seeded
from raytl.models.source_folder import matched_columns, read_weights, stored_part
from raytl.models.source_spec import (
    SPEC_FILE,
    WEIGHTS_FILE,
    PartSpec,
    SourceSpec,
    read_spec,
    sha256_of,
)
from raytl.models.transfer_model import TransferModel
from raytl.seeds import seed_for
from raytl.urls import Place, place_of

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

        return in_parts(name, config.parts, columns, load, seed)
    column = _only(columns)
    modality = modality_of(columns[column])
    with seeded(seed):
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
        backbone = _built(config, modality, transform)
    else:
        backbone = modality.load(config, transform)
    fresh = modality.fresh_blocks(config, backbone)
    return Part(modality, transform, backbone, config.args, fresh, draws=bool(fresh))


def _built(config: SourceModelConfig, modality: Modality, transform: Transform) -> Backbone:
    """Build a fresh network. Raises ModelError also where the machine has no memory for it, which
    torch says by a RuntimeError."""
    try:
        return modality.build(config.origin, transform, config.args)
    except (MemoryError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][-120:]
        raise ModelError(
            f"{config.origin} cannot be built with args {dict(config.args)}: {reason}; ask for a "
            "smaller network"
        ) from None


def _only(columns: Mapping[str, Column]) -> str:
    if len(columns) != 1:
        first = next(iter(columns))
        raise ModelError(
            f"it reads one column, but the domains have {len(columns)} ({', '.join(columns)}); "
            f"say which, as in parts: {{{first}: …}}, or name one of them in inputs"
        )
    return next(iter(columns))


def in_parts(
    name: str,
    configs: Mapping[str, SourceModelConfig],
    columns: Mapping[str, Column],
    load: Callable[[str, SourceModelConfig, int], SourceModel],
    seed: int,
) -> SourceModel:
    """Return a source model of a part for each column that is named; other columns are not read.
    `load`: loads a column's, with the seed of its weights. Raises as `load_source_model`."""
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
    spec = read_spec(path)
    tensors = read_weights(path, spec)
    parts: dict[str, Part] = {}
    specs: dict[str, PartSpec] = {}
    for of_spec, of_data in matched_columns(path, spec, columns).items():
        stored = stored_part(path, of_spec, spec.parts[of_spec], tensors)
        parts[of_data], note = _adapted(stored, columns[of_data], partial(samples, of_data), seed)
        specs[of_data] = part_spec(parts[of_data]).model_copy(update={"note": note})
    return SourceModel(name, parts, spec.model_copy(update={"parts": specs}))


def _adapted(part: Part, column: Column, sample: Sample, seed: int) -> tuple[Part, str | None]:
    """Return a stored part as it reads rows of `column`, and what is to be known of that."""
    with seeded(seed):
        backbone, transform, note = part.modality.adapted(
            part.backbone, part.transform, part.args, column, sample
        )
    draws = backbone is not part.backbone
    return replace(part, backbone=backbone, transform=transform, draws=draws), note


def save_source_model(
    out: Place, model: TransferModel, spec: SourceSpec, *, force: bool = False
) -> SourceSpec:
    """Write a source model with its mapper and head, whole or not at all; return its final spec.

    Raises UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    tensors = {
        key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()
    }
    with new_folder(out, force, SPEC_FILE) as folder:
        try:
            save_file(tensors, folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(None, str(error)) from None
        final = spec.model_copy(update={"weights_sha256": sha256_of(folder / WEIGHTS_FILE)})
        text = json.dumps(final.model_dump(mode="json"), indent=1)
        (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    return final
