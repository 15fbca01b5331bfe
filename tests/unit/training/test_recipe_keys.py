"""Which keys of a trial a recipe reads, as its attribute says and as its source does."""

import inspect
import re

import pytest

from raytl.config.trial import TRIAL_KEYS
from raytl.recipes import OF_SOME, RECIPES, Recipe, applies

BY_SCHEDULE = {"adversarial_lambda", "lambda_schedule"}  # which `scheduled_lambda` reads


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_reads_what_it_says(name: str) -> None:
    own = [c for c in RECIPES[name].__mro__ if issubclass(c, Recipe) and c is not Recipe]
    source = "".join(inspect.getsource(of) for of in own)
    read = {key for key in TRIAL_KEYS if re.search(rf"\btrial\.{key}\b", source)}
    read |= BY_SCHEDULE if "scheduled_lambda(" in source else set()
    read |= {"student"} if RECIPES[name].uses_student else set()
    assert RECIPES[name].reads == read - {"source_model"}  # which every trial has


def test_keys_that_some_recipes_read_are_keys() -> None:
    assert set(TRIAL_KEYS) >= OF_SOME


@pytest.mark.parametrize(
    ("key", "recipe", "does"),
    [("adversarial_lambda", "dann", True), ("adversarial_lambda", "finetune", False),
     ("optimizer.lr", "finetune", True), ("frozen_depth", "finetune", True),
     ("frozen_depth.image", "scratch", False), ("lora_rank", "linear_probe", False)],
)  # fmt: skip
def test_a_key_applies_to_the_recipes_that_read_it(key: str, recipe: str, does: bool) -> None:
    assert applies(key, recipe) == does
