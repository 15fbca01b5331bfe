"""Recipes: what is trained with which losses, one file a method.

To add one, write its file, name it in `config.RecipeName` and list it here.
"""

from raytl.recipes.adda import Adda
from raytl.recipes.base import Context, Recipe, Teacher
from raytl.recipes.cdan import Cdan
from raytl.recipes.constant import Constant
from raytl.recipes.dan import Dan
from raytl.recipes.dann import Dann
from raytl.recipes.deep_coral import DeepCoral
from raytl.recipes.distillation import Distillation
from raytl.recipes.entropy_minimisation import EntropyMinimisation
from raytl.recipes.finetune import Finetune
from raytl.recipes.gradual_unfreezing import GradualUnfreezing
from raytl.recipes.importance_weighting import ImportanceWeighting
from raytl.recipes.joint import Joint
from raytl.recipes.linear_probe import LinearProbe
from raytl.recipes.lp_ft import LpFt
from raytl.recipes.mcc import Mcc
from raytl.recipes.mdd import Mdd
from raytl.recipes.naive import Naive, SeasonalNaive
from raytl.recipes.relational_distillation import RelationalDistillation
from raytl.recipes.scratch import Scratch
from raytl.recipes.source_only import SourceOnly
from raytl.recipes.target_only import TargetOnly
from raytl.recipes.tradaboost import TrAdaBoost

RECIPES: dict[str, type[Recipe]] = {
    "linear_probe": LinearProbe,
    "finetune": Finetune,
    "lp_ft": LpFt,
    "gradual_unfreezing": GradualUnfreezing,
    "joint": Joint,
    "dann": Dann,
    "cdan": Cdan,
    "adda": Adda,
    "mdd": Mdd,
    "dan": Dan,
    "deep_coral": DeepCoral,
    "mcc": Mcc,
    "entropy_minimisation": EntropyMinimisation,
    "importance_weighting": ImportanceWeighting,
    "tradaboost": TrAdaBoost,
    "distillation": Distillation,
    "relational_distillation": RelationalDistillation,
    "scratch": Scratch,
    "source_only": SourceOnly,
    "target_only": TargetOnly,
    "constant": Constant,
    "naive": Naive,
    "seasonal_naive": SeasonalNaive,
}

OF_SOME = frozenset[str]().union(*(recipe.reads for recipe in RECIPES.values()))
OF_FROZEN = ("frozen_depth", "tuned_blocks", "lora_")  # how keys begin that say what is frozen


def applies(key: str, recipe: str) -> bool:
    """Whether a trial's dotted key makes a difference to what this recipe trains."""
    if key.startswith(OF_FROZEN):
        return RECIPES[recipe].freezes == "as configured"
    return key not in OF_SOME or key in RECIPES[recipe].reads


__all__ = ["RECIPES", "Context", "Recipe", "Teacher", "applies"]
