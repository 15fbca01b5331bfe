"""Source models that a study may start with: those that are given, those of this machine's caches,
fresh ones beside them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raytl.config import SourceModelConfig
from raytl.data.domain import Domains
from raytl.errors import ModelError, RaytlError
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.models.source_model import load_source_model
from raytl.models.task_heads import check_last_steps, read_by
from raytl.tasks.base import Task
from raytl.training.material import Samples

MOST_PRETRAINED = 4  # that a study starts with: each has a control of its own
SMALL_SIDE = 64  # pixels at which a small fresh network reads larger images
DENSE_SIDE = 128  # the same, where masks or boxes are drawn
Config = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A source model by the `name` that the study gives it. `note`: what to say of it beside its
    line; `fresh_parts`: columns that a pretrained one reads by a network which is not."""

    name: str
    config: Config
    pretrained: bool
    note: str = ""
    fresh_parts: tuple[str, ...] = ()


@dataclass
class Found:
    """Candidates that fit. `left`: lines about those that do not, or are not taken."""

    models: list[Candidate] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def fresh_networks(column: Column, words: int | None, task: str) -> list[Candidate]:
    """Return networks with random weights for a column. `words`: tokens of a text that are read."""
    found: list[tuple[str, Config]] = []
    if isinstance(column, ImageColumn):
        side, dense = max(column.shape[:2]), task in ("segmentation", "detection")
        most = DENSE_SIDE if dense else SMALL_SIDE
        size = {"input_size": most} if side > most else {}
        found = [("small_cnn", {"backbone": "small_cnn", **size})]
    elif column.kind == "audio":
        found = [("small_cnn", {"backbone": "small_cnn", **_spectrogram()})]
    elif column.kind == "text":
        reads = {} if words is None else {"transform": {"max_length": words}}
        found = [("bilstm", {"backbone": "bilstm", "args": {"dim": 64, "hidden": 48}, **reads})]
        if task != "translation":
            found += [
                ("text_cnn", {"backbone": "text_cnn", "args": {"dim": 64, "filters": 32}, **reads}),
                ("bag", {"backbone": "bag_of_embeddings", "args": {"dim": 64}, **reads}),
            ]
    elif column.kind == "table":
        found = [
            ("mlp", {"backbone": "mlp", "args": {"width": 64, "depth": 1, "dropout": 0.2}}),
            ("linear", {"backbone": "mlp", "args": {"width": 64, "depth": 0, "dropout": 0.0}}),
            ("transformer", {"backbone": "ft_transformer", "args": {"width": 32, "depth": 2,
                                                                     "heads": 4}}),
        ]  # fmt: skip
    elif column.kind == "series":
        found = [
            ("lstm", {"backbone": "lstm", "args": {"layers": 2, "width": 32}}),
            ("inception", {"backbone": "inception", "args": {"blocks": 1, "filters": 16}}),
        ]
    return [Candidate(f"fresh_{name}", config, pretrained=False) for name, config in found]


def _spectrogram() -> Config:
    """Return how image networks read sounds: each scaled by its own energies, for recordings differ
    in loudness."""
    return {"input_size": 64, "transform": {"per_row": True}}


def reading(config: Config, column: Column, words: int | None) -> Config:
    """Return the configuration of a pretrained network as it reads a column."""
    if column.kind == "audio" and "path" not in config:
        return config | _spectrogram()
    if column.kind == "text" and "path" not in config and words is not None:
        return config | {"transform": {**config.get("transform", {}), "max_length": words}}
    return config


@dataclass(frozen=True)
class Fitting:
    """What candidates are tried on: they are loaded as a study would."""

    domains: Domains
    task: Task
    seed: int = 0

    def why_not(self, candidate: Candidate, column: str | None = None) -> str | None:
        """Return why a candidate does not fit, None where it does. `column`: which it reads, None
        where it reads all."""
        columns = self.domains.columns
        if column is not None:
            columns = {column: columns[column]}
        try:
            config = SourceModelConfig.model_validate(candidate.config)
            model = load_source_model(
                candidate.name, config, columns, Samples(self.domains, self.seed), self.seed
            )
            if column is None or len(self.domains.columns) == 1:
                read_by(self.task, model.parts)
                check_last_steps(self.task, model.parts)
        except RaytlError as error:
            return str(error).splitlines()[0]
        except ValueError as error:  # of the configuration
            return str(error).splitlines()[-1]
        return None


def fitting(
    alternatives: Iterable[Sequence[Candidate]], tried: Fitting, column: str | None, found: Found
) -> list[Candidate]:
    """Return, of each sequence, the first candidate that fits `column`, or where it is None all
    columns; say of the others why none does."""
    fits: list[Candidate] = []
    for sequence in alternatives:
        why = "it is no network that is known"
        for candidate in sequence:
            told = tried.why_not(candidate, column)
            if told is None:
                fits.append(candidate)
                break
            why = told
        else:
            found.left.append(f"{sequence[0].name} is not taken: {why[:160]}")
    return fits


def in_parts(by_column: Mapping[str, list[Candidate]]) -> list[Candidate]:
    """Return source models of a part for each column: the first pretrained one of each, where there
    is one, and fresh ones."""

    def parts(pretrained: bool) -> Config:
        return {
            column: next((c for c in of if c.pretrained == pretrained), of[0]).config
            for column, of in by_column.items()
        }

    found = [Candidate("fresh", {"parts": parts(False)}, pretrained=False)]
    if any(candidate.pretrained for of in by_column.values() for candidate in of):
        fresh = tuple(c for c, of in by_column.items() if not any(one.pretrained for one in of))
        mixed = Candidate("pretrained", {"parts": parts(True)}, pretrained=True, fresh_parts=fresh)
        found.insert(0, mixed)
    return found


def named_apart(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates with names that studies take, each another."""
    taken: set[str] = set()
    out = []
    for candidate in candidates:
        name = plain = re.sub(r"[^A-Za-z0-9_]+", "_", candidate.name).strip("_") or "model"
        number = 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        out.append(replace(candidate, name=name))
    return out


def need_one(candidates: list[Candidate], found: Found) -> None:
    """Raise ModelError where nothing fits."""
    if not candidates:
        told = "; ".join(found.left[:3])
        raise ModelError(f"no source model fits the data: {told or 'none is known for it'}")
