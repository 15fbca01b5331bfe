"""Whether the blocks that a space freezes or trains are there, in each network that it has."""

from raytl.config import frozen_blocks, tuned_blocks
from raytl.config.trial import OF_BRANCH
from raytl.errors import ConfigError
from raytl.models.source_spec import PartSpec, SourceSpec
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace


def check_depths(space: SearchSpace, specs: dict[str, SourceSpec]) -> None:
    """Raise ConfigError for a depth beyond the networks that it is of: a column's, or all."""
    keys = {*space.distributions, *space.base}
    own = {key.removeprefix(OF_BRANCH): key for key in keys if key.startswith(OF_BRANCH)}
    for name in space.choices("source_model"):
        for branch, part in specs[name].parts.items():
            if branch in own:
                _check_depth(space, own[branch], part)
            if not _always_given(space, own.get(branch)):
                _check_depth(space, "frozen_depth", part)


def _always_given(space: SearchSpace, key: str | None) -> bool:
    found = None if key is None else space.distributions.get(key)
    return key in space.base or (found is not None and not found.when)


def _check_depth(space: SearchSpace, key: str, part: PartSpec) -> None:
    distribution = space.distributions.get(key)
    if distribution is not None and distribution.choice is None:
        depths: tuple[int | str, ...] = (int(distribution.bounds[1]),)
    else:
        depths = space.choices(key)
    for depth in depths:
        try:
            frozen_blocks(depth, part.blocks, part.backbone)
        except ConfigError as error:
            raise ConfigError(f"space.{key}: {error}") from None


def check_tuned(space: SearchSpace, specs: dict[str, SourceSpec]) -> None:
    """Raise ConfigError for the first trial that would train blocks beyond its network's."""
    keys = ("recipe", "mapper", "inputs", "source_model", "student", "tuned_blocks")
    for recipe, mapper, inputs, source_model, student, tuned in space.combinations(*keys):
        # A closed form holds for frozen features, whatever blocks are named
        if tuned is None or RECIPES[recipe].freezes != "as configured" or mapper == "matrix":
            continue
        taught = RECIPES[recipe].uses_student and student is not None
        for column, part in specs[student if taught else source_model].parts.items():
            if inputs in ("all", column):
                try:
                    tuned_blocks(str(tuned), part.blocks, part.backbone)
                except ConfigError as error:
                    raise ConfigError(f"space.tuned_blocks: {error}") from None
