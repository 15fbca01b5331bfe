"""What can be checked before Ray starts: the data, the source models, and how they fit."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from raytl.config import HeadConfig, Study, TrialConfig
from raytl.data.domain import Domain, Domains
from raytl.errors import ConfigError, ModelError
from raytl.files import digest_of
from raytl.modalities.base import Transform
from raytl.models.adapters import adaptable
from raytl.models.branch import Branch
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import SourceModel, load_source_model
from raytl.models.source_spec import SourceSpec, verify_source_model
from raytl.models.task_heads import check_last_steps, head_of, read_by
from raytl.recipes import RECIPES
from raytl.rows import Given
from raytl.search_space import SearchSpace, check_callable_space
from raytl.state_dicts import digest_of_state
from raytl.sweeping.blocks_check import check_adapted, check_depths, check_tuned
from raytl.sweeping.columns_check import check_augmented, check_columns, compared_columns
from raytl.sweeping.effort import effort_warnings
from raytl.sweeping.opening import open_study, placed
from raytl.sweeping.search.alone_controls import alone_controls
from raytl.sweeping.search.controls import control_trials, skipped_controls
from raytl.sweeping.search.probe_controls import probe_controls
from raytl.sweeping.suiting import check_judges, check_maps, check_needs, check_steps
from raytl.sweeping.teaching_check import check_teachers
from raytl.tasks.base import Task
from raytl.tasks.map_heads import Taps
from raytl.training.compiling import check_fixed_shapes
from raytl.training.fitted_task import fitted_task
from raytl.training.material import Material
from raytl.training.operations import operations
from raytl.training.splits import redrawable

ROWS_TRIED = 4


@dataclass(frozen=True)
class Checked:
    """A study that can start. `warnings`: what is allowed but hardly meant, a line each. `notes`:
    what a person is to know of it before it starts. `test_labels`: test rows of the target that
    have one; without any nothing is confirmed. `reason`: why `metric: auto` is not the usual
    one."""

    study: Study
    space: SearchSpace
    domains: Domains
    source_models: dict[str, SourceSpec]
    weights: dict[str, str]  # SHA-256 of each source model's weights as they were loaded
    operations: dict[str, float]  # floating-point, of each source model's forward pass for a row
    num_bytes: int  # of the splits that trials and confirmation read
    controls: tuple[tuple[str, TrialConfig], ...] = ()  # by name, in the order in which they run
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    test_labels: int = 0
    reason: str | None = None

    @property
    def kept(self) -> bool:
        """Whether a node keeps all that trials read."""
        every = (self.domains.target, self.domains.source)
        return all(domain.dataset.kept for domain in every if domain is not None)

    @property
    def redraws(self) -> bool:
        """Whether each seed of the confirmation draws labelled rows of its own."""
        wanted = self.study.confirm.redraw
        return wanted is not False and redrawable(self.domains.target)


def preflight(study: Study) -> Checked:
    """Check the whole study against its data and source models, each of which is loaded once.

    Raises ConfigError, DataError, ModelError or CorruptError, with the place in the study.
    """
    opened = open_study(study)
    study, space, domains = opened.study, opened.space, opened.domains
    if space.function is not None:
        check_callable_space(space)
    recipes = _check_recipes(study, space, domains.target)
    check_steps(study, space)
    task = _check_task(domains, study.search.seed)
    check_judges(study, domains, task.name)
    renamed = None
    if domains.source is not None and any(
        "source" in streams and RECIPES[name].shares_classes for name, streams in recipes.items()
    ):
        renamed = _check_targets(task, domains.source, domains.target)
    compared = compared_columns(domains)
    material = Material.of(study, domains)
    heads = set(space.combinations("source_model", "head"))
    tried = {
        name: _tried(material, name, task, (name, "pretrained_decoder") in heads)
        for name in study.source_models
    }
    specs = {name: one.spec for name, one in tried.items()}
    vectors = {name: one.vectors for name, one in tried.items()}
    check_columns(study, space, specs, domains, vectors)
    check_augmented(study, space, specs)
    check_maps(study, space, {name: one.taps for name, one in tried.items()})
    check_teachers(study, space, specs, domains.target.target_column)
    check_depths(space, specs)
    check_tuned(space, specs)
    check_adapted(space, specs, {name for name, one in tried.items() if one.adaptable})
    slowest = max(tried.values(), key=lambda one: one.row_seconds)
    columns = {name: list(spec.parts) for name, spec in specs.items()}
    alone = alone_controls(study, space, domains, columns)
    controls = (
        *control_trials(study, space), *probe_controls(study, space), *alone.trials,
    )  # fmt: skip
    trials = study.search.trials + len(controls)
    warnings = effort_warnings(opened, trials, slowest.row_seconds, slowest.spec.backbone)
    weights = {name: one.weights for name, one in tried.items()}
    done = {name: one.operations for name, one in tried.items()}
    skipped = (*skipped_controls(study, space).items(), *alone.skipped)
    notes = [*opened.notes, *([] if renamed is None else [renamed]), *compared, *task.notes]
    notes += [f"the {control} control is left out: {why}" for control, why in skipped]
    parts = ((name, part) for name, spec in specs.items() for part in spec.parts.values())
    notes += [f"source_models.{name}: {part.note}" for name, part in parts if part.note]
    return Checked(
        study, space, domains, specs, weights, done, _num_bytes(domains), controls, tuple(warnings),
        tuple(notes), opened.test_labels, opened.reason,
    )  # fmt: skip


def _num_bytes(domains: Domains) -> int:
    return sum(
        domain.split(name).bytes
        for domain in (domains.target, domains.source)
        if domain is not None
        for name in domain.config.read_splits()
    )


def _check_task(domains: Domains, seed: int) -> Task:
    with placed("target_domain"):
        return fitted_task(domains, domains.target, seed)


def _check_recipes(study: Study, space: SearchSpace, target: Domain) -> dict[str, tuple[str, ...]]:
    check_needs(study, space, target.target)
    streams: dict[str, tuple[str, ...]] = {}
    for recipe in space.choices("recipe"):
        try:
            streams[recipe] = RECIPES[recipe].streams(
                study.labelled, study.source_domain is not None
            )
        except ConfigError as error:
            raise ConfigError(f"space.recipe: {error}; remove the recipe or add the data") from None
    for control, trial in control_trials(study, space):
        streams[control] = RECIPES[trial.recipe].streams(
            study.labelled, study.source_domain is not None
        )
    return streams


def _check_targets(task: Task, source: Domain, target: Domain) -> str | None:
    """Check that both domains ask for the same, as they must where one head learns from both.
    Return a note where they call it otherwise."""
    wrong = task.mismatch(source.target_column)
    if wrong is not None:
        raise ConfigError(
            "source_domain and target_domain must ask for the same to be trained together, but of "
            f"the target's column {target.target}: {wrong}; leave out source_domain to transfer "
            "the source models alone"
        )
    return task.renamed(source.target_column)


@dataclass(frozen=True)
class Tried:
    """A source model that was loaded and run. `weights`: their SHA-256. `row_seconds` and
    `operations`: of its forward pass, for a row. `vectors`: the columns of whose rows the last
    block gives plain features. `adaptable`: whether low-rank adapters have a layer in it. `taps`:
    (C, H, W) of the maps that a task's head reads, if it does."""

    spec: SourceSpec
    weights: str
    row_seconds: float
    operations: float
    vectors: frozenset[str]
    adaptable: bool
    taps: Taps


def _tried(material: Material, name: str, task: Task, own_decoder: bool) -> Tried:
    """Load a source model, see that heads of the task can read it, or that it brings one, and run
    it on the first rows of each domain, as trials with it would."""
    config, models = material.study.source_models[name], material.source_models
    with placed(f"source_models.{name}"):
        for plain in config.plain:
            if plain.folder is not None and verify_source_model(plain.folder).complete:
                load_complete_model(plain.folder)
        model = load_source_model(name, config, models.columns, models.samples, seed=0)
        read = read_by(task, model.parts)
        check_last_steps(task, model.parts)
        if own_decoder:
            head_of(task, HeadConfig(name="pretrained_decoder"), 1, model.parts)
        if material.study.train.compile:
            check_fixed_shapes({name: part.transform for name, part in model.parts.items()})
        seconds = _run_seconds(model, material.domains)
        done = _operations(model, material.domains)
    digests = {n: digest_of_state(part.backbone) for n, part in model.parts.items()}
    vectors = frozenset(n for n, part in model.parts.items() if part.backbone.state == "vector")
    fit = any(adaptable(part.backbone) for part in model.parts.values())
    taps = read.tap_shapes if read is not None and task.reads == "taps" else ()
    return Tried(model.spec, digest_of(digests), seconds / ROWS_TRIED, done, vectors, fit, taps)


@torch.inference_mode()
def _run_seconds(model: SourceModel, domains: Domains) -> float:
    """Run each part on rows of every domain that has its column; return the seconds of a forward
    pass over one domain's. The first one, which is slower, is not counted."""
    seconds = 0.0
    for name, part in model.parts.items():
        branch = Branch(part, ()).eval()
        every = [d for d in (domains.target, domains.source) if d is not None]
        given = [rows for d in every if (rows := _first_rows(name, part.transform, domains, d))]
        for rows in given:
            if not bool(branch(rows).features.isfinite().all()):
                raise ModelError(
                    f"{part.backbone.name} gives features that are not finite for the first rows; "
                    "look at its weights and how rows are normalised"
                )
        start = time.perf_counter()
        branch(given[0])
        seconds += time.perf_counter() - start
    return seconds


def _operations(model: SourceModel, domains: Domains) -> float:
    """Return the operations of a forward pass for a row."""
    every, done = [d for d in (domains.target, domains.source) if d is not None], 0.0
    for name, part in model.parts.items():
        branch = Branch(part, ()).eval()
        given = (_first_rows(name, part.transform, domains, domain) for domain in every)
        rows = next(each for each in given if each is not None)
        done += operations(partial(branch, rows), branch, ROWS_TRIED)
    return done


def _first_rows(
    branch: str, transform: Transform, domains: Domains, domain: Domain
) -> Given | None:
    """Return the first training rows of a domain; None where it lacks the branch's column."""
    column = domains.column_in(domain, branch)
    if column is None:
        return None
    split = domain.split(domain.config.splits.train)
    values = split.read(column, np.arange(ROWS_TRIED) % split.rows)
    with placed(str(domain.dataset.path)):
        return Given(transform.for_column(domain.columns[column]).prepare(values))
