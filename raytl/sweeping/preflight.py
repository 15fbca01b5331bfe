"""What can be checked before Ray starts: the data, the source models, and how they fit."""

import time
from dataclasses import dataclass

import torch

from raytl.config import Study, frozen_blocks
from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, ModelError
from raytl.models.backbones import Backbone
from raytl.models.source_model import describe_source_model, load_source_model, open_source_model
from raytl.models.source_spec import SourceSpec
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace, check_callable_space
from raytl.state_dicts import digest_of_state
from raytl.sweeping.effort import effort_warnings
from raytl.sweeping.opening import open_study, placed
from raytl.sweeping.search.controls import control_trials
from raytl.training.inputs import input_transform
from raytl.training.splits import redrawable

ROWS_TRIED = 4


@dataclass(frozen=True)
class Checked:
    """A study that can start. `warnings`: what is allowed but hardly meant, a line each."""

    study: Study
    space: SearchSpace
    target: Dataset
    source: Dataset | None
    source_models: dict[str, SourceSpec]
    weights: dict[str, str]  # SHA-256 of each source model's weights as they were loaded
    num_bytes: int  # of the splits that trials and confirmation read
    warnings: tuple[str, ...] = ()

    @property
    def redraws(self) -> bool:
        """Whether each seed of the confirmation draws labelled rows of its own."""
        wanted = self.study.confirm.redraw
        return wanted is not False and redrawable(self.study.target_domain, self.target)


def preflight(study: Study) -> Checked:
    """Check the whole study against its data and source models, each of which is loaded once.

    Raises ConfigError, DataError, ModelError or CorruptError, with the place in the study.
    """
    opened = open_study(study)
    space, target, source = opened.space, opened.target, opened.source
    if space.function is not None:
        check_callable_space(space)
    recipes = _check_recipes(study, space)
    if source is not None and any(
        "source" in streams and RECIPES[name].shares_classes for name, streams in recipes.items()
    ):
        _check_classes(source, target)
    tried = {name: _tried(study, name, target) for name in study.source_models}
    specs = {name: one.spec for name, one in tried.items()}
    _check_depths(study, space, specs)
    slowest = max(tried.values(), key=lambda one: one.row_seconds)
    trials = study.search.trials + len(control_trials(study, space))
    warnings = effort_warnings(opened, trials, slowest.row_seconds, slowest.spec.backbone)
    weights = {name: one.weights for name, one in tried.items()}
    return Checked(
        study, space, target, source, specs, weights, _num_bytes(study, target, source),
        tuple(warnings),
    )  # fmt: skip


def _num_bytes(study: Study, target: Dataset, source: Dataset | None) -> int:
    domains = [(study.target_domain, target), (study.source_domain, source)]
    return sum(
        dataset.split(name).bytes
        for domain, dataset in domains
        if domain is not None and dataset is not None
        for name in domain.read_splits()
    )


def _check_recipes(study: Study, space: SearchSpace) -> dict[str, tuple[str, ...]]:
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


def _check_classes(source: Dataset, target: Dataset) -> None:
    if len(source.classes) != len(target.classes):
        raise ConfigError(
            "source_domain and target_domain must have the same classes to be trained together, "
            f"but got {len(source.classes)} and {len(target.classes)}; "
            "leave out source_domain to transfer the source models alone"
        )
    if source.classes != target.classes and set(source.classes) == set(target.classes):
        raise ConfigError(
            "source_domain and target_domain list the same classes in another order, so that "
            f"label 0 is '{source.classes[0]}' in one and '{target.classes[0]}' in the other; "
            "shard one of them again with --classes"
        )


@dataclass(frozen=True)
class Tried:
    """A source model that was loaded and run. `weights`: their SHA-256. `row_seconds`: of its
    forward pass, for a row."""

    spec: SourceSpec
    weights: str
    row_seconds: float


def _tried(study: Study, name: str, target: Dataset) -> Tried:
    """Load a source model and run it on black images, as the first trial with it would."""
    height, width, channels = target.image_shape
    config, shape = study.source_models[name], (channels, height, width)
    with placed(f"source_models.{name}"):
        if config.path is not None:
            describe_source_model(name, config, shape)
            backbone, spec = open_source_model(config.path)
        else:
            model = load_source_model(name, config, shape, seed=0)
            backbone, spec = model.backbone, model.spec
        images = torch.zeros(ROWS_TRIED, height, width, channels, dtype=torch.uint8)
        seconds = _run_seconds(backbone.eval(), input_transform(spec)(images))
    return Tried(spec, digest_of_state(backbone), seconds / ROWS_TRIED)


@torch.inference_mode()
def _run_seconds(backbone: Backbone, x_BCHW: torch.Tensor) -> float:
    """Return the seconds of a forward pass; the first one, which is slower, is not counted."""
    if not bool(backbone(x_BCHW).isfinite().all()):
        raise ModelError(
            f"{backbone.name} gives features that are not finite for black images; look at its "
            "weights and normalization"
        )
    start = time.perf_counter()
    backbone(x_BCHW)
    return time.perf_counter() - start


def _check_depths(study: Study, space: SearchSpace, specs: dict[str, SourceSpec]) -> None:
    distribution = space.distributions.get("frozen_depth")
    depths = list(space.choices("frozen_depth"))
    if distribution is not None and distribution.choice is None:
        depths = [int(distribution.bounds[1])]
    for name in space.choices("source_model"):
        for depth in depths:
            try:
                frozen_blocks(depth, specs[name].blocks, specs[name].backbone)
            except ConfigError as error:
                raise ConfigError(f"space.frozen_depth: {error}") from None
