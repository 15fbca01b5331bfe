"""What is searched: recipes that the labels and domains allow, and ranges that suit the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raytl.config import OptimizerConfig
from raytl.config.learning_rates import LEARNING_RATES
from raytl.errors import ConfigError
from raytl.recipes import RECIPES
from raytl.starting.asked import Labels
from raytl.starting.candidates import Candidate
from raytl.starting.facts import Facts

UNEVEN = 3.0  # times as many rows of one class as of another, from which weighing is tried
# What is tried, in this order, where the target has labels, and where it has none
LABELLED = ("finetune", "lp_ft")
LABELLED_FROM_SOURCE = ("finetune", "joint", "dann")
UNLABELLED = ("finetune", "dann", "mcc", "deep_coral", "entropy_minimisation")
MOST_RECIPES = 3
ALIGNING = ("mcc", "deep_coral", "entropy_minimisation")


@dataclass(frozen=True)
class Searched:
    """`defaults` and `space` as the study has them."""

    defaults: dict[str, Any]
    space: dict[str, dict[str, Any]]


def recipes_for(facts: Facts, labels: Labels, has_source: bool, pretrained: bool) -> list[str]:
    """Return the recipes that are tried: those whose needs the task meets."""
    labelled = labels != "none"
    wanted: Sequence[str] = UNLABELLED
    if labelled:
        wanted = LABELLED_FROM_SOURCE if has_source else LABELLED
    found = [name for name in wanted if _suits(name, facts.gives, labelled, has_source)]
    if not pretrained or "numbers" not in facts.gives:
        found = [name for name in found if name != "lp_ft"]
    return found[:MOST_RECIPES]


def _suits(name: str, gives: frozenset[str], labelled: bool, has_source: bool) -> bool:
    if not RECIPES[name].needs <= gives:
        return False
    try:
        RECIPES[name].streams(labelled, has_source)
    except ConfigError:
        return False
    return True


def searched(
    facts: Facts,
    models: Sequence[Candidate],
    first: str,
    recipes: Sequence[str],
    depths: Sequence[str],
) -> Searched:
    """Return defaults, which are trial 0, and the space. `first`: its source model; `depths`:
    shares of a pretrained network's blocks that are frozen, one at least."""
    table = any(column.kind == "table" for column in facts.inputs.values())
    optimizer: Literal["adam", "adamw"] = "adamw" if table else "adam"
    low, high = LEARNING_RATES[optimizer]["transferred"]
    defaults: dict[str, Any] = {"source_model": first, "recipe": recipes[0]}
    defaults |= {"optimizer": optimizer, "optimizer.lr": OptimizerConfig(name=optimizer).lr}
    space: dict[str, dict[str, Any]] = {}
    if len(models) > 1:
        space["source_model"] = {"choice": [candidate.name for candidate in models]}
    if len(recipes) > 1:
        space["recipe"] = {"choice": list(recipes)}
    space |= _depths(models, depths)
    # A random network that is frozen would say nothing of its column
    defaults |= {f"frozen_depth.{column}": 0 for of in models for column in of.fresh_parts}
    if len(facts.inputs) > 1 and "parts" in models[0].config:
        space["inputs"] = {"choice": ["all", *facts.inputs]}
    space |= _strengths(recipes)
    if _has_mapper(facts, models):
        space["mapper"] = {"choice": ["identity", "mlp"]}
    if facts.counts and max(facts.counts) > UNEVEN * max(1, min(facts.counts)):
        space["class_weights"] = {"choice": ["none", "balanced"]}
    if {"maps"} & facts.gives:
        defaults["head.hidden"] = 64
    space["optimizer.lr"] = {"float": [low, high], "log": True}
    if table:
        defaults["optimizer.weight_decay"] = 0.05
        space["optimizer.weight_decay"] = {"float": [0.01, 1.0], "log": True}
    return Searched(defaults, space)


def _depths(models: Sequence[Candidate], depths: Sequence[str]) -> dict[str, dict[str, Any]]:
    pretrained = [candidate.name for candidate in models if candidate.pretrained]
    if not pretrained:
        return {}
    # Trial 0 has the first of them, frozen whole, which is good at once and cheap: 0 (blocks), not
    # 0 %, which as the usual value would be trial 0's
    plain = [0 if depth == "0%" else depth for depth in reversed(depths)]
    depth: dict[str, Any] = {"choice": plain}
    if len(pretrained) < len(models):
        depth["when"] = {"source_model": pretrained}
    return {"frozen_depth": depth}


def _strengths(recipes: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if "dann" in recipes:
        when = {"when": {"recipe": "dann"}} if len(recipes) > 1 else {}
        found["adversarial_lambda"] = {"float": [0.01, 1.0], "log": True, **when}
    aligning = [name for name in recipes if name in ALIGNING]
    if aligning:
        found["alignment_lambda"] = {
            "float": [0.01, 1.0], "log": True, "when": {"recipe": aligning},
        }  # fmt: skip
    return found


def _has_mapper(facts: Facts, models: Sequence[Candidate]) -> bool:
    """Whether there are features of pretrained networks that a mapper could turn."""
    reads_features = bool(facts.gives & {"numbers", "steps"})
    return reads_features and any(candidate.pretrained for candidate in models)
