"""Whether every trial of the space finds the columns that it reads, and what `train.augment`
changes there."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from raytl.config import Study, nearest
from raytl.config.trial import OF_BRANCH
from raytl.data.domain import Domain, Domains
from raytl.errors import ConfigError
from raytl.modalities.registry import MODALITIES, modality_of
from raytl.models.mappers import SPATIAL
from raytl.models.source_spec import SourceSpec
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace
from raytl.sweeping.opening import placed
from raytl.training.rows_read import reads_source

Specs = dict[str, SourceSpec]  # by the source model's name; parts by the study's columns


def check_columns(
    study: Study,
    space: SearchSpace,
    specs: Specs,
    domains: Domains,
    vectors: Mapping[str, Collection[str]],
) -> None:
    """Raise ConfigError where a source model reads no column of a domain, where a key is of a
    column that no source model reads, and for the first trial that would find no column, several
    where its mapper reads one, or one that gives no maps or tokens to it. `vectors`: by source
    model, the columns of which its last block gives plain features."""
    for name in space.choices("source_model"):
        for domain in (domains.target, domains.source):
            if domain is not None and not _has_any(domains, domain, specs[name].parts):
                raise ConfigError(
                    f"source_models.{name}: it reads {', '.join(specs[name].parts)}, but "
                    f"{domain.dataset.path} has {', '.join(domain.inputs)}; give it a part that "
                    "reads one of these, or other inputs"
                )
    _check_names(space, specs)
    for reading in _readings(space, specs):
        _check_found(reading, study, domains)
        _check_mapper(reading, vectors[reading.name])


def compared_columns(domains: Domains) -> list[str]:
    """Return how columns that both domains have differ, a note each; raises ConfigError where
    nothing of the only one that the source domain has is in the target's."""
    source = domains.source
    if source is None:
        return []
    named = {name: domains.column_in(source, name) for name in domains.target.columns}
    both = {name: of_source for name, of_source in named.items() if of_source is not None}
    notes = []
    for name, of_source in both.items():
        place, column = f"source_domain: column {of_source}", domains.target.columns[name]
        try:
            with placed(place):
                found = modality_of(column).compared(column, source.columns[of_source])
        except ConfigError as error:
            if len(both) == 1:
                raise
            notes.append(str(error))  # the other columns are transferred
        else:
            notes += [] if found is None else [f"{place}: {found}"]
    return notes


def check_augmented(study: Study, space: SearchSpace, specs: Specs) -> None:
    """Raise ConfigError for an option of `train.augment` that changes no column that is read."""
    read = {part.modality for spec in _trained(space, specs) for part in spec.parts.values()}
    for option in ("flip", "crop"):
        known = [name for name, wing in MODALITIES.items() if option in wing.augments]
        if getattr(study.train.augment, option) and read.isdisjoint(known):
            raise ConfigError(
                f"train.augment.{option}: changes rows of {' and '.join(known)}, but the source "
                f"models read {', '.join(sorted(read))}; leave it out"
            )


def _trained(space: SearchSpace, specs: Specs) -> list[SourceSpec]:
    """Return the source models that trials may train, students among them."""
    names = [*space.choices("source_model"), *space.choices("student")]
    return [specs[name] for name in names if name in specs]


def _has_any(domains: Domains, domain: Domain, columns: Collection[str]) -> bool:
    return any(domains.column_in(domain, column) is not None for column in columns)


def _check_names(space: SearchSpace, specs: Specs) -> None:
    known = {column for spec in _trained(space, specs) for column in spec.parts}
    for key in [*space.distributions, *space.base]:
        column = key.removeprefix(OF_BRANCH)
        if column != key and column not in known:
            raise ConfigError(
                f"space: {key}: no source model reads a column '{column}'; "
                f"{nearest(column, sorted(known))}"
            )
    for inputs in space.choices("inputs"):
        if inputs not in {"all", *known}:
            raise ConfigError(
                f"space.inputs: no source model reads a column '{inputs}'; "
                f"{nearest(inputs, ['all', *sorted(known)])}"
            )


@dataclass(frozen=True)
class _Reading:
    """What trials with the same values of some keys read. `network`: what is trained, in words, and
    its `name`."""

    recipe: str
    mapper: str
    inputs: str
    network: str
    name: str
    columns: tuple[str, ...]


def _readings(space: SearchSpace, specs: Specs) -> Iterator[_Reading]:
    keys = ("recipe", "mapper", "inputs", "source_model", "student")
    for recipe, mapper, inputs, source_model, student in space.combinations(*keys):
        taught = RECIPES[recipe].teaches(student)
        name, what = (student, "student") if taught else (source_model, "source model")
        if name not in specs:
            raise ConfigError(
                f"{what}: unknown source model '{name}'; {nearest(name, list(specs))}"
            )
        columns = tuple(specs[name].parts)
        if inputs not in ("all", *columns):
            raise ConfigError(
                f"space.inputs: {what} {name} does not read '{inputs}'; leave one out, or name in "
                "`when` what goes together"
            )
        read = columns if inputs == "all" else (inputs,)
        yield _Reading(recipe, mapper, inputs, f"{what} {name}", name, read)


def _check_found(reading: _Reading, study: Study, domains: Domains) -> None:
    """Check that each domain that is read has some column of those that are."""
    streams = RECIPES[reading.recipe].streams(study.labelled, domains.source is not None)
    read = [domains.target]
    if domains.source is not None and reads_source(study, streams):
        read.append(domains.source)
    for domain in read:
        if not _has_any(domains, domain, reading.columns):
            alone = "" if reading.inputs == "all" else " alone"
            raise ConfigError(
                f"space.{'inputs' if alone else 'recipe'}: recipe {reading.recipe} with "
                f"{reading.network} reads {', '.join(reading.columns)}{alone}, but "
                f"{domain.dataset.path} has {', '.join(domain.inputs)}; leave it out, or name in "
                "`when` what goes together"
            )


def _check_mapper(reading: _Reading, vectors: Collection[str]) -> None:
    if reading.mapper not in SPATIAL:
        return
    if len(reading.columns) > 1:
        raise ConfigError(
            f"space.mapper: {reading.mapper} reads the maps or tokens of one column, but "
            f"{reading.name} has {len(reading.columns)}; take another mapper, or give it "
            "`when: {inputs: [COLUMN, …]}`"
        )
    if reading.columns[0] in vectors:
        raise ConfigError(
            f"space.mapper: {reading.mapper} reads the maps or tokens of the last block, but that "
            f"of {reading.name} gives plain features; take another mapper, or give it "
            "`when: {source_model: [NAME, …]}`"
        )
