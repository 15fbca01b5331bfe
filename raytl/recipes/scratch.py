"""Control: the same architecture with random weights, trained on the target's labels alone."""

from raytl.errors import ConfigError
from raytl.recipes.base import Stream, SupervisedRecipe


class Scratch(SupervisedRecipe):
    """What can be had without any transfer."""

    name = "scratch"
    freezes = "nothing"
    fresh_backbone = True

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not labelled:
            raise ConfigError("recipe scratch learns from target labels, but labels is none")
        return ("labelled",)
