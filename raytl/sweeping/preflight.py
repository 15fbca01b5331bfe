"""What can be checked before Ray starts: the data, the source models, and how they fit."""

from dataclasses import dataclass

from raytl.config import DomainConfig, Study, frozen_blocks
from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, RaytlError
from raytl.models.source_model import SourceSpec, describe_source_model
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace, check_callable_space
from raytl.sweeping.controls import control_trials
from raytl.training.splits import redrawable, source_rows, target_rows


@dataclass(frozen=True)
class Checked:
    """A study that can start."""

    study: Study
    space: SearchSpace
    target: Dataset
    source: Dataset | None
    source_models: dict[str, SourceSpec]

    @property
    def redraws(self) -> bool:
        """Whether each seed of the confirmation draws labelled rows of its own."""
        wanted = self.study.confirm.redraw
        return wanted is not False and redrawable(self.study.target_domain, self.target)


def preflight(study: Study) -> Checked:
    """Check the whole study against its data and source models.

    Raises ConfigError, DataError, ModelError or CorruptError, with the place in the study.
    """
    space = SearchSpace(study)
    if space.function is not None:
        check_callable_space(space)
    if study.search.sampler == "grid":
        next(space.grid())
    target = _open("target_domain", study.target_domain)
    source = _open("source_domain", study.source_domain) if study.source_domain else None
    _check_splits(study, target, source)
    recipes = _check_recipes(study, space)
    if source is not None and any(
        "source" in streams and RECIPES[name].shares_classes for name, streams in recipes.items()
    ):
        _check_classes(source, target)
    specs = _check_source_models(study, target)
    _check_depths(study, space, specs)
    return Checked(study, space, target, source, specs)


def _open(place: str, domain: DomainConfig) -> Dataset:
    try:
        dataset = Dataset.open(domain.dataset)
        for split in (domain.splits.train, domain.splits.validation):
            if split is not None:
                dataset.split(split)
        dataset.ensure_verified()
    except RaytlError as error:
        raise type(error)(f"{place}.dataset: {error}") from None
    return dataset


def _check_splits(study: Study, target: Dataset, source: Dataset | None) -> None:
    domain = study.target_domain
    target.split(domain.splits.test)
    target_rows(domain, target, study.search.seed)
    if study.confirm.redraw is True and not redrawable(domain, target):
        raise ConfigError(
            "confirm.redraw: true needs `labels: N` and more than N training rows of every class, "
            f"so that seeds can draw others, but labels is {domain.labels}; use auto"
        )
    if study.source_domain is not None and source is not None:
        source_rows(study.source_domain, source, study.search.seed)


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


def _check_source_models(study: Study, target: Dataset) -> dict[str, SourceSpec]:
    height, width, channels = target.image_shape
    specs = {}
    for name, config in study.source_models.items():
        try:
            specs[name] = describe_source_model(name, config, (channels, height, width))
        except RaytlError as error:
            raise type(error)(f"source_models.{name}: {error}") from None
    return specs


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
