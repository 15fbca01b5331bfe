"""Recipes: what is trained with which losses, one file a method.

To add one, write its file, name it in `config.RecipeName` and list it here.
"""

from raytl.recipes.base import Recipe
from raytl.recipes.dann import Dann
from raytl.recipes.finetune import Finetune
from raytl.recipes.linear_probe import LinearProbe
from raytl.recipes.scratch import Scratch
from raytl.recipes.source_only import SourceOnly

RECIPES: dict[str, type[Recipe]] = {
    "linear_probe": LinearProbe,
    "finetune": Finetune,
    "dann": Dann,
    "scratch": Scratch,
    "source_only": SourceOnly,
}

__all__ = ["RECIPES", "Recipe"]
