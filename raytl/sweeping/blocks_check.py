"""Whether the blocks that a space freezes or trains are there, in each network that it has."""

from raytl.config import frozen_blocks, tuned_blocks
from raytl.config.trial import OF_BRANCH
from raytl.errors import ConfigError
from raytl.models.source_spec import SourceSpec
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace


def check_depths(space: SearchSpace, specs: dict[str, SourceSpec]) -> None:
    """Raise ConfigError for the first trial that would freeze blocks beyond its network's: to the
    depth of a column, or of all."""
    keys = {*space.distributions, *space.base}
    own = {key.removeprefix(OF_BRANCH): key for key in keys if key.startswith(OF_BRANCH)}
    for name, of_all, *found in space.combinations("source_model", "frozen_depth", *own.values()):
        depths = dict(zip(own, found, strict=True))
        for branch, part in specs[name].parts.items():
            depth, key = depths.get(branch), own.get(branch)
            if depth is None:
                depth, key = of_all, "frozen_depth"
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
        taught = RECIPES[recipe].teaches(student)
        for column, part in specs[student if taught else source_model].parts.items():
            if inputs in ("all", column):
                try:
                    tuned_blocks(str(tuned), part.blocks, part.backbone)
                except ConfigError as error:
                    raise ConfigError(f"space.tuned_blocks: {error}") from None
