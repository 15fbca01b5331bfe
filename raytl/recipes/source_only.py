"""Control: trained on the source domain alone, with no look at the target."""

from raytl.errors import ConfigError
from raytl.recipes.base import Stream, SupervisedRecipe


class SourceOnly(SupervisedRecipe):
    """What can be had without any adaptation: the source task's cross-entropy only."""

    name = "source_only"
    vectorises = True

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not has_source:
            raise ConfigError("recipe source_only needs a source_domain")
        return ("source",)
