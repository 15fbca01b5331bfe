"""A trial's model and recipe, built from its configuration."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from raytl.config import (
    MapperConfig,
    SourceModelConfig,
    Study,
    TrialConfig,
    frozen_blocks,
    tuned_blocks,
)
from raytl.data.dataset import Dataset
from raytl.models.backbones import Backbone
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.source_model import (
    SourceModel,
    cached_source_model,
    describe_source_model,
    load_complete_model,
)
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES, Context, Recipe, Teacher
from raytl.seeds import seed_for
from raytl.training.inputs import input_transform
from raytl.training.splits import source_rows


@lru_cache(maxsize=8)
def open_dataset(path: Path) -> Dataset:
    """Return the dataset, once a process."""
    return Dataset.open(path)


@dataclass(frozen=True)
class TrialParts:
    """What a trial trains and reads."""

    model: TransferModel
    recipe: Recipe
    source_model: SourceModel
    transform: Callable[[torch.Tensor], torch.Tensor]  # what a feed gives → what the model reads
    frozen_depth: int


def image_shape(study: Study) -> tuple[int, int, int]:
    """Return (C, H, W) of the target domain's images."""
    height, width, channels = open_dataset(study.target_domain.dataset).image_shape
    return channels, height, width


def build_trial(study: Study, trial: TrialConfig, seed: int) -> TrialParts:
    """Compose source model, mapper, head and recipe, with initial weights seeded by `seed`."""
    recipe_type = RECIPES[trial.recipe]
    taught = recipe_type.uses_student and trial.student is not None
    name = str(trial.student) if taught else trial.source_model
    source_model = _source_model(study, name, recipe_type.fresh_backbone, seed)
    backbone = source_model.backbone
    target = open_dataset(study.target_domain.dataset)
    source = open_dataset(study.source_domain.dataset) if study.source_domain else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "init"))
        mapper = build_mapper(trial.mapper, backbone.feature_dim)
        head = build_head(trial.head, mapper.out_dim, len(target.classes))
        model = TransferModel(
            backbone, mapper, head, frozen_numbers(trial, backbone), source_model.transferred,
            lora_rank=0 if recipe_type.freezes == "nothing" else trial.lora_rank,
            lora_alpha=trial.lora_alpha,
        )  # fmt: skip
        context = Context(
            trial=trial,
            model=model,
            num_classes=len(target.classes),
            num_source_classes=len(source.classes) if source else None,
            teacher=_teacher(study, trial) if recipe_type.uses_student else None,
            source_rows=_rows_to_learn_from(study),
            id_bounds={
                role: sum(split.rows for split in dataset.info.splits.values())
                for role, dataset in (("source", source), ("target", target))
                if dataset is not None
            },
        )
        recipe = recipe_type(context)
    return TrialParts(
        model, recipe, source_model, input_transform(source_model.spec), len(model.frozen)
    )


def _rows_to_learn_from(study: Study) -> int | None:
    """Return how many rows of the source domain are training rows."""
    if study.source_domain is None:
        return None
    dataset = open_dataset(study.source_domain.dataset)
    return len(source_rows(study.source_domain, dataset, study.search.seed).train)


def frozen_numbers(trial: TrialConfig, backbone: Backbone) -> set[int]:
    """Return the numbers of the blocks that the trial never trains."""
    count, freezes = len(backbone.blocks), RECIPES[trial.recipe].freezes
    every = set(range(count))
    if freezes == "all" or trial.mapper.name == "matrix":
        return every  # a closed form holds only for features that stay as they are
    if freezes == "nothing":
        return set()
    if trial.tuned_blocks is not None:
        return every - set(tuned_blocks(trial.tuned_blocks, count, backbone.name))
    return set(range(frozen_blocks(trial.frozen_depth, count, backbone.name)))


def _teacher(study: Study, trial: TrialConfig) -> Teacher | None:
    """Return the trial's source model as the teacher of its student."""
    if trial.student is None:
        return None
    name, shape = trial.source_model, image_shape(study)
    config = study.source_models[name]
    spec = describe_source_model(name, config, shape)
    if config.path is not None and spec.head is not None:
        network, _ = load_complete_model(config.path)
    else:
        backbone = cached_source_model(name, config, shape, 0).clone().backbone
        mapper = build_mapper(MapperConfig(), backbone.feature_dim)
        network = TransferModel(backbone, mapper, torch.nn.Identity(), (), transferred=True)
    classes = len(spec.classes) if spec.head is not None and spec.classes is not None else None
    return Teacher(network, classes, input_transform(spec))


def _source_model(study: Study, name: str, fresh: bool, seed: int) -> SourceModel:
    """Return a source model of the trial's own. `fresh`: the same architecture, random weights."""
    shape = image_shape(study)
    init_seed = seed_for(seed, "backbone")
    source_model = cached_source_model(name, study.source_models[name], shape, init_seed)
    if fresh and source_model.transferred:
        spec = source_model.spec
        config = SourceModelConfig(
            backbone=spec.backbone, args=spec.args, input_size=spec.input_shape[-1]
        )
        source_model = cached_source_model(f"{name} (fresh)", config, shape, init_seed)
    return source_model.clone()


def target_classes(study: Study) -> tuple[str, ...]:
    """Return the target domain's class names."""
    return open_dataset(study.target_domain.dataset).classes
