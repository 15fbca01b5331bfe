"""A trial's model and recipe, built from its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from raytl.config import FusionConfig, MapperConfig, TrialConfig, frozen_blocks, tuned_blocks
from raytl.errors import ConfigError, ModelError
from raytl.modalities.text.hub import folder_of
from raytl.models.adapters import NOTHING_TO_ADAPT, adaptable
from raytl.models.branch import Branch, Part
from raytl.models.fusion import build_fusion
from raytl.models.mappers import Mapper, build_mapper
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import SourceModel
from raytl.models.source_spec import SourceSpec
from raytl.models.task_heads import head_of
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES, Context, Recipe, Teacher
from raytl.seeds import seed_for
from raytl.tasks.base import Task
from raytl.tasks.pretrained_decoder import PretrainedDecoder
from raytl.training.fitted_task import fitted_task
from raytl.training.material import Material
from raytl.training.naive_model import naive_model
from raytl.training.splits import source_rows


@dataclass(frozen=True)
class TrialParts:
    """What a trial trains."""

    model: TransferModel
    recipe: Recipe
    task: Task
    spec: SourceSpec  # of the source model that is trained
    teacher: Teacher | None

    @property
    def branches(self) -> dict[str, Branch]:
        """Every branch that reads rows, a teacher's included, by its name among a batch's
        inputs."""
        teacher = {} if self.teacher is None else self.teacher.branches
        return self.model.named_branches | teacher


def build_trial(
    material: Material, trial: TrialConfig, seed: int, rows_seed: int | None = None
) -> TrialParts:
    """Compose source model, mapper, head and recipe, with initial weights seeded by `seed`.
    `rows_seed`: draws the target's labelled rows, to which the task is fitted; by default the
    study's seed."""
    recipe_type = RECIPES[trial.recipe]
    taught = recipe_type.teaches(trial.student)
    name = str(trial.student) if taught else trial.source_model
    source_model = (
        naive_model(material.domains, recipe_type)
        if recipe_type.says_again is not None
        else _source_model(material, name, trial, seed)
    )
    domains, study_seed = material.domains, material.study.search.seed
    source = domains.source
    task = fitted_task(domains, domains.target, study_seed, rows_seed)
    source_task = None if source is None else fitted_task(domains, source, study_seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "init"))
        fusion = build_fusion(trial.fusion, _dims(source_model.parts))
        mapper = _mapper(trial, source_model, fusion.out_dim)
        head = head_of(task, trial.head, mapper.out_dim, source_model.parts)
        branches = {
            n: _branch(n, part, trial, task.reads == "taps")
            for n, part in source_model.parts.items()
        }
        _check_adapters(trial, branches)
        model = TransferModel(branches, fusion, mapper, head, task.reads)
        context = Context(
            trial=trial,
            model=model,
            task=task,
            source_task=source_task,
            teacher=_teacher(material, trial) if recipe_type.uses_student else None,
            source_rows=_rows_to_learn_from(material),
            id_bounds={
                role: sum(split.rows for split in domain.dataset.info.splits.values())
                for role, domain in (("source", source), ("target", material.domains.target))
                if domain is not None
            },
        )
        recipe = recipe_type(context)
    if isinstance(head, PretrainedDecoder) and not recipe_type.fresh_backbone:
        _take_decoder(head, material, source_model.name)
    return TrialParts(model, recipe, task, source_model.spec, context.teacher)


def _take_decoder(head: PretrainedDecoder, material: Material, name: str) -> None:
    """Load the weights of a source model's own decoder; raises ModelError where there are none."""
    config = material.study.source_models[name]
    if config.huggingface is None:
        raise ModelError(
            f"head pretrained_decoder takes weights from a source model {{huggingface: FOLDER}}, "
            f"but {name} is {config.origin}; take another head"
        )
    head.load(folder_of(config.huggingface))


def _mapper(trial: TrialConfig, source_model: SourceModel, in_dim: int) -> Mapper:
    """Raises ModelError for a mapper of maps where several columns are fused."""
    mapper, columns = build_mapper(trial.mapper, in_dim), len(source_model.parts)
    if mapper.spatial and columns > 1:
        raise ModelError(
            f"mapper {trial.mapper.name} reads the maps or tokens of one column, but "
            f"{source_model.name} has {columns}; take another mapper, or one column as inputs"
        )
    return mapper


def _rows_to_learn_from(material: Material) -> int | None:
    """Return how many rows of the source domain are training rows."""
    source = material.domains.source
    return None if source is None else len(source_rows(source, material.study.search.seed).train)


def _dims(parts: Mapping[str, Part]) -> dict[str, int]:
    return {name: part.backbone.feature_dim for name, part in parts.items()}


def _branch(name: str, part: Part, trial: TrialConfig, tapped: bool) -> Branch:
    return Branch(
        part, frozen_numbers(trial, name, part), lora_rank=_lora_rank(trial),
        lora_alpha=trial.lora_alpha, tapped=tapped,
    )  # fmt: skip


def _lora_rank(trial: TrialConfig) -> int:
    return trial.lora_rank if RECIPES[trial.recipe].freezes == "as configured" else 0


def _check_adapters(trial: TrialConfig, branches: Mapping[str, Branch]) -> None:
    """Raise ModelError for a rank where blocks are frozen, and no block of any network has a layer
    to adapt: the trial would be called what it is not."""
    every = branches.values()
    if not _lora_rank(trial) or not any(branch.frozen for branch in every):
        return
    if not any(adaptable(branch.backbone) for branch in every):
        names = " and ".join(branch.backbone.name for branch in every)
        rank = trial.lora_rank
        raise ModelError(f"lora_rank: {NOTHING_TO_ADAPT.format(names=names, rank=rank)}")


def frozen_numbers(trial: TrialConfig, branch: str, part: Part) -> set[int]:
    """Return the numbers of a branch's blocks that the trial never trains."""
    count, name = len(part.backbone.blocks), part.backbone.name
    every, freezes = set(range(count)), RECIPES[trial.recipe].freezes
    if freezes == "all" or trial.mapper.name == "matrix":
        return every  # a closed form holds only for features that stay as they are
    if freezes == "nothing":
        return set()
    if trial.tuned_blocks is not None:
        return every - set(tuned_blocks(trial.tuned_blocks, count, name))
    depth = trial.branch_depths.get(branch, trial.frozen_depth)
    return set(range(frozen_blocks(depth, count, name)))


def _teacher(material: Material, trial: TrialConfig) -> Teacher | None:
    """Return the trial's source model as the teacher of its student: with its own mapper and head,
    where it has them and the recipe reads its answers."""
    if trial.student is None:
        return None
    name = trial.source_model
    path = material.study.source_models[name].folder
    opened, target = material.source_models.open(name, 0), material.domains.target
    if all(material.domains.column_in(target, column) is None for column in opened.parts):
        raise ConfigError(
            f"a teacher comments on the target's rows, but {name} reads {', '.join(opened.parts)}, "
            f"and the target has {', '.join(target.inputs)}; take another source model"
        )
    branches = {n: _frozen(part.clone()) for n, part in opened.parts.items()}
    if path is not None and opened.spec.complete:
        complete = load_complete_model(path)
        own, fusion = complete.model, complete.model.fusion
        # Under the names of the study's columns, as the branches, whose transforms read them.
        fusion.rename(dict(zip(complete.spec.parts, branches, strict=True)))
        if RECIPES[trial.recipe].asks_teacher:
            network = TransferModel(branches, fusion, own.mapper, own.head, own.reads)
            return Teacher(network, complete.task)
    else:
        fusion = build_fusion(FusionConfig(), _dims(opened.parts))
    mapper = build_mapper(MapperConfig(), fusion.out_dim)
    return Teacher(TransferModel(branches, fusion, mapper, nn.Identity()), None)


def _frozen(part: Part) -> Branch:
    return Branch(part, range(len(part.backbone.blocks)))


def _source_model(material: Material, name: str, trial: TrialConfig, seed: int) -> SourceModel:
    """Return a source model of the trial's own. A recipe that starts from a fresh backbone gets the
    same architecture with random weights."""
    init_seed = seed_for(seed, "backbone")
    if RECIPES[trial.recipe].fresh_backbone:
        opened = material.source_models.open_fresh(name, init_seed)
    else:
        opened = material.source_models.open(name, init_seed)
    return opened.reading(trial.inputs).clone()
