"""One trial from its configuration to its metrics, in a plain Python process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raytl.config import (
    MapperConfig,
    SourceModelConfig,
    Study,
    TrialConfig,
    frozen_blocks,
    tuned_blocks,
)
from raytl.data.dataset import Dataset, Split
from raytl.data.domains import joint_batches, steps_per_epoch
from raytl.data.feed import Feed, chosen_kind, make_feed
from raytl.data.resident import ResidentFeed
from raytl.data.transforms import InputTransform
from raytl.models.backbones import Backbone
from raytl.models.heads import build_head
from raytl.models.mappers import Matrix, build_mapper
from raytl.models.source_model import (
    SourceModel,
    cached_source_model,
    describe_source_model,
    load_complete_model,
)
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES, Context, Recipe, Teacher
from raytl.scoring.validators import VALIDATORS, validate
from raytl.seeds import seed_for
from raytl.training.checkpoint import load_checkpoint, save_checkpoint
from raytl.training.closed_form import fit_matrix
from raytl.training.evaluation import Evaluation, evaluate
from raytl.training.evidence import gather
from raytl.training.inputs import input_transform
from raytl.training.loop import Trainer, train_epoch
from raytl.training.optimization import build_optimizer
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import stored_features
from raytl.training.splits import source_rows, target_rows

Metrics = dict[str, Any]
Save = Callable[[Path], None]
Report = Callable[[Metrics, Save], None]
MakeFeed = Callable[..., Feed]  # make_feed, or the same over prefix features


@lru_cache(maxsize=8)
def _open(path: Path) -> Dataset:
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
    height, width, channels = _open(study.target_domain.dataset).image_shape
    return channels, height, width


def build_trial(study: Study, trial: TrialConfig, seed: int) -> TrialParts:
    """Compose source model, mapper, head and recipe, with initial weights seeded by `seed`."""
    recipe_type = RECIPES[trial.recipe]
    taught = recipe_type.uses_student and trial.student is not None
    name = str(trial.student) if taught else trial.source_model
    source_model = _source_model(study, name, recipe_type.fresh_backbone, seed)
    backbone = source_model.backbone
    target = _open(study.target_domain.dataset)
    source = _open(study.source_domain.dataset) if study.source_domain else None
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
            teacher=_teacher(study, trial, source_model) if recipe_type.uses_student else None,
            max_ids={
                role: sum(split.rows for split in dataset.info.splits.values())
                for role, dataset in (("source", source), ("target", target))
                if dataset is not None
            },
        )
        recipe = recipe_type(context)
    return TrialParts(
        model, recipe, source_model, input_transform(source_model.spec), len(model.frozen)
    )


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


def _teacher(study: Study, trial: TrialConfig, student: SourceModel) -> Teacher | None:
    """Return the trial's source model as the teacher of `student`."""
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
    theirs, ours = input_transform(spec), input_transform(student.spec)
    return Teacher(network, classes, lambda x: theirs(ours.inverse(x)))


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


def training_feeds(
    study: Study, trial: TrialConfig, seed: int, make: MakeFeed = make_feed
) -> tuple[dict[str, Feed], Feed, Feed | None]:
    """Return the training streams by name, the target's validation feed and the source's."""
    target = _open(study.target_domain.dataset)
    rows = target_rows(study.target_domain, target, study.search.seed)
    kind, size = study.train.feed, study.train.batch_size

    def feed(dataset: Dataset, split: str, indices: np.ndarray, labelled: bool, name: str) -> Feed:
        return make(
            dataset, split, indices=indices, labelled=labelled, batch_size=size,
            seed=seed_for(seed, "shuffle", name), kind=kind,
        )  # fmt: skip

    train_split = study.target_domain.splits.train
    validation = feed(target, rows.validation_split, rows.validation, True, "validation")
    streams = RECIPES[trial.recipe].streams(study.labelled, study.source_domain is not None)
    feeds: dict[str, Feed] = {}
    source_validation = None
    if study.source_domain is not None:
        source = _open(study.source_domain.dataset)
        of_source = source_rows(study.source_domain, source, study.search.seed)
        if "source" in streams:
            source_split = study.source_domain.splits.train
            feeds["source"] = feed(source, source_split, of_source.train, True, "source")
        if "source" in streams or not study.labelled:  # iwv, dev and circv read them
            source_validation = feed(
                source, of_source.validation_split, of_source.validation, True, "validation"
            )
    if "target" in streams:
        feeds["target"] = feed(target, train_split, rows.unlabelled, False, "target")
    if "labelled" in streams:
        feeds["labelled"] = feed(target, train_split, rows.labelled, True, "labelled")
    return feeds, validation, source_validation


def run_trial(
    study: Study,
    trial: TrialConfig,
    seed: int,
    report: Report,
    *,
    device: str = "cpu",
    resume_from: Path | None = None,
    test: bool = False,
) -> TrialParts:
    """Train `trial` for the study's epochs and report metrics after each.

    Args:
        seed: of everything random in this trial; which rows are held out depends on the study's
            seed alone, so that all trials are judged on the same rows.
        report: called once an epoch with the metrics and a function that saves a checkpoint.
        resume_from: a checkpoint's folder; training goes on at the next epoch's first batch.
        test: read the test split after the last epoch (confirmation only).

    Raises TrainingError where a loss is not finite.
    """
    on = torch.device(device)
    parts = build_trial(study, trial, seed)
    for module in (parts.model, parts.recipe):
        module.to(on).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(trial, parts.model, parts.recipe)
    done = 0
    if resume_from is not None:
        done = load_checkpoint(resume_from, parts.model, parts.recipe, optimizer)
    parts, make = _reusing_prefix(study, parts, on)
    feeds, validation, source_validation = training_feeds(study, trial, seed, make)
    if isinstance(parts.model.mapper, Matrix) and resume_from is None:
        fit_matrix(parts.model, trial.mapper.fit, feeds, parts.transform, on)
    steps = study.train.steps_per_epoch or steps_per_epoch(feeds)
    trainer = Trainer(
        parts.model, parts.recipe, optimizer, trial.optimizer, parts.transform, on,
        steps=steps * study.train.epochs, step=steps * done,
    )  # fmt: skip
    batches = joint_batches(feeds, start_step=trainer.step)
    for epoch in range(done, study.train.epochs):
        # Dropout draws from the global generator: seeded by epoch, a resumed trial draws the same.
        torch.manual_seed(seed_for(seed, "epoch", epoch))
        start = time.perf_counter()
        metrics: Metrics = train_epoch(trainer, batches, steps)
        metrics["train/seconds"] = time.perf_counter() - start
        last = epoch + 1 == study.train.epochs
        metrics |= _validate(study, parts, validation, source_validation, on, last=last)
        metrics |= {"epoch": epoch + 1, "step": trainer.step, "frozen_blocks": parts.frozen_depth}
        metrics["trainable_parameters"] = parts.model.num_trainable()
        if test and last:
            metrics |= _test(study, parts, on, make)
        report(metrics, lambda folder, e=epoch: save_checkpoint(  # type: ignore[misc]
            folder, parts.model, parts.recipe, optimizer, e + 1
        ))  # fmt: skip
    return parts


def _reusing_prefix(
    study: Study, parts: TrialParts, device: torch.device
) -> tuple[TrialParts, MakeFeed]:
    """Return the parts and what makes their feeds: of prefix features where those pay."""
    assert isinstance(parts.transform, InputTransform)
    prefix = Prefix(parts.model, parts.transform, device, study.train.prefix_dtype)
    splits = _splits(study)
    if parts.recipe.uses_student or not _pays(study, prefix, splits):
        return parts, make_feed
    parts.model.reads = prefix.reads
    budget = study.train.prefix_cache_bytes

    def make(dataset: Dataset, split: str, **options: Any) -> Feed:
        del options["kind"]
        features = stored_features(prefix, dataset, split, budget)
        indices = options.pop("indices")
        rows = np.arange(features.rows) if indices is None else indices
        return ResidentFeed(features, rows, **options)

    return replace(parts, transform=torch.Tensor.float), make


def _splits(study: Study) -> list[Split]:
    """Return the splits that trials and confirmation read."""
    found = []
    for domain in (study.target_domain, study.source_domain):
        if domain is not None:
            names = {domain.splits.train, domain.splits.validation}
            if domain is study.target_domain:
                names.add(domain.splits.test)
            dataset = _open(domain.dataset)
            found += [dataset.split(name) for name in names if name is not None]
    return found


def _pays(study: Study, prefix: Prefix, splits: list[Split]) -> bool:
    """Whether there is a prefix, its features fit half of the cache, and a pass over the splits is
    no longer than what the study's trials would compute in the prefix otherwise."""
    train = study.train
    if not train.reuse_prefix or prefix.model.frozen_depth == 0:
        return False
    if any(chosen_kind(train.feed, split.bytes) == "streaming" for split in splits):
        return False
    rows = sum(split.rows for split in splits)
    if rows * prefix.row_bytes > train.prefix_cache_bytes // 2:
        return False
    if train.steps_per_epoch is None:
        return True
    drawn = train.epochs * train.steps_per_epoch * train.batch_size
    trials = study.search.trials + study.confirm.top * study.confirm.seeds
    return rows <= drawn * trials // 2


def _validate(
    study: Study,
    parts: TrialParts,
    validation: Feed,
    source_validation: Feed | None,
    device: torch.device,
    *,
    last: bool,
) -> Metrics:
    target = evaluate(parts.model, validation, parts.transform, device)
    metrics: Metrics = {"target/validation_entropy": target.entropy}
    if study.labelled:
        metrics |= {"target/validation_accuracy": target.accuracy}
        metrics |= {"target/validation_loss": target.loss}
    else:
        metrics |= {"oracle/target_validation_accuracy": target.accuracy}
    validators = _validators(study, last)
    if validators:
        held_out = source_validation if parts.recipe.shares_classes else None
        evidence = gather(parts.model, validation, held_out, parts.transform, device)
        metrics |= {
            f"target/validator/{name}": v for name, v in validate(evidence, validators).items()
        }
    if source_validation is not None and parts.recipe.shares_classes:
        source = evaluate(parts.model, source_validation, parts.transform, device, of_source=True)
        metrics |= {"source/validation_accuracy": source.accuracy}
    return metrics


def _validators(study: Study, last: bool) -> set[str]:
    """Return the validators to compute: the objective in every epoch, all after the last one."""
    if study.objective == "target_accuracy":
        return set()
    return {name for name in VALIDATORS if last or name == study.objective}


def _test(
    study: Study, parts: TrialParts, device: torch.device, make: MakeFeed
) -> Mapping[str, Any]:
    result = evaluate_split(study, parts, study.target_domain.splits.test, device, make)
    return {
        "test/accuracy": result.accuracy,
        "test/macro_f1": result.macro_f1,
        "test/calibration_error": result.calibration_error,
        "test/rows": result.rows,
        "test/confusion": result.confusion,
    }


def evaluate_split(
    study: Study, parts: TrialParts, split: str, device: torch.device, make: MakeFeed = make_feed
) -> Evaluation:
    """Evaluate on a whole split of the target domain."""
    dataset = _open(study.target_domain.dataset)
    feed = make(
        dataset, split, indices=None, labelled=True, batch_size=study.train.batch_size, seed=0,
        kind=study.train.feed,
    )  # fmt: skip
    return evaluate(parts.model, feed, parts.transform, device)


def target_classes(study: Study) -> tuple[str, ...]:
    """Return the target domain's class names."""
    return _open(study.target_domain.dataset).classes
