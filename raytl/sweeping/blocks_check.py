"""Whether the blocks that a space freezes, trains or adapts are there, in each of its networks."""

from collections.abc import Set

from raytl.config import frozen_blocks, tuned_blocks
from raytl.config.trial import OF_BRANCH
from raytl.errors import ConfigError
from raytl.models.adapters import NOTHING_TO_ADAPT
from raytl.models.source_spec import SourceSpec
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace


def check_depths(space: SearchSpace, specs: dict[str, SourceSpec]) -> None:
    """Raise ConfigError for the first trial that would freeze blocks beyond those of the network
    that it trains: to the depth of a column, or of all."""
    known = {*space.distributions, *space.base}
    own = {key.removeprefix(OF_BRANCH): key for key in known if key.startswith(OF_BRANCH)}
    keys = ("recipe", "source_model", "student", "frozen_depth", *own.values())
    for recipe, source_model, student, of_all, *found in space.combinations(*keys):
        if RECIPES[recipe].freezes != "as configured":
            continue
        depths = dict(zip(own, found, strict=True))
        trained = student if RECIPES[recipe].teaches(student) else source_model
        for branch, part in specs[trained].parts.items():
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


def check_adapted(space: SearchSpace, specs: dict[str, SourceSpec], adaptable: Set[str]) -> None:
    """Raise ConfigError for the first trial that would put low-rank adapters into a network that
    is not among those which have a layer for them."""
    keys = ("recipe", "source_model", "student", "lora_rank")
    for recipe, source_model, student, rank in space.combinations(*keys):
        if not rank or RECIPES[recipe].freezes != "as configured":
            continue
        trained = student if RECIPES[recipe].teaches(student) else source_model
        if trained not in adaptable:
            names = " and ".join(part.backbone for part in specs[trained].parts.values())
            wrong = NOTHING_TO_ADAPT.format(names=names, rank=rank)
            raise ConfigError(f"space.lora_rank: {wrong}")
