"""Control: the source model trained further on the target's labels alone, everything free."""

from raytl.errors import ConfigError
from raytl.recipes.base import Stream, SupervisedRecipe


class TargetOnly(SupervisedRecipe):
    """What can be had from a source model without the source domain's data: plain fine-tuning."""

    name = "target_only"
    freezes = "nothing"

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not labelled:
            raise ConfigError("recipe target_only learns from target labels, but labels is none")
        return ("labelled",)
