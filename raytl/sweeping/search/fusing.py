"""Which trials train together. That is fixed before any of them starts."""

import json
from collections.abc import Sequence
from typing import Any

from raytl.config import Study, TrialConfig
from raytl.files import digest_of
from raytl.recipes import RECIPES
from raytl.scoring.metrics import METRICS
from raytl.sweeping.kept.records import Config
from raytl.training.fused import FACTORS
from raytl.training.fused_group import LEAST_FUSED_ON_CPU, MemberConfig

# What trials of one group may differ in, besides their seeds.
DIFFERENCES = ("optimizer.lr", "optimizer.weight_decay", "head.dropout", *FACTORS)
MOST_FUSED = 8  # trials of one group, with `fuse: auto`


def group_size(study: Study) -> int:
    """Return how many trials a group has at most. Fused trials have one worker and take whole
    batches in float32."""
    train, fuse = study.train, study.train.fuse
    plain = train.accumulation_steps == 1 and train.precision == "float32"
    plain = plain and "numbers" in study.gives
    if fuse == "off" or not plain or study.resources.workers != (1, 1):
        return 1
    return MOST_FUSED if fuse == "auto" else fuse


def grouped(suggestions: Sequence[Config], study: Study, scope: str) -> list[Config]:
    """Return the suggestions in their order, those that may train together with their group.
    `scope`: names the run.

    Members have one recipe and one task, so that trials whose task is fitted to labels train with
    those alone that draw the same rows.

    A group is {"group": its name, "index": the member's number, "members": each one's name and
    what it differs in}.
    """
    groups: dict[str, list[list[int]]] = {}
    size, fewest = group_size(study), _fewest(study)
    for number, suggestion in enumerate(suggestions):
        if _may_fuse(TrialConfig.from_flat(suggestion["trial"])):
            chunks = groups.setdefault(_architecture(suggestion, study), [[]])
            if len(chunks[-1]) == size:
                chunks.append([])
            chunks[-1].append(number)
    found = list(suggestions)
    chunks = [chunk for chunks in groups.values() for chunk in chunks if len(chunk) >= fewest]
    for count, chunk in enumerate(chunks):
        members = [_difference(suggestions[number]) for number in chunk]
        # What another group left behind is not this one's.
        named = digest_of([_architecture(suggestions[chunk[0]], study), members])[:12]
        for index, number in enumerate(chunk):
            name = f"{scope}-{suggestions[0]['name']}-{count}-{named}"
            group = {"group": name, "index": index, "members": members}
            found[number] = suggestions[number] | {"fused": group}
    return found


def _fewest(study: Study) -> int:
    """Return how many trials a group has at least."""
    on_cpu = study.train.fuse == "auto" and not study.resources.gpus_per_worker
    return LEAST_FUSED_ON_CPU if on_cpu else 2


def _may_fuse(trial: TrialConfig) -> bool:
    """Whether a trial may train with others like it, as far as its configuration says: its losses
    vectorise, and it may read features of all blocks."""
    recipe = RECIPES[trial.recipe]
    if not recipe.vectorises or recipe.freezes == "nothing" or trial.lora_rank:
        return False
    if recipe.freezes == "all" or trial.mapper.name == "matrix":
        return True
    depths = [trial.frozen_depth, *trial.branch_depths.values()]
    return not all(depth == 0 or _is_part(depth) for depth in depths)


def _is_part(depth: int | str) -> bool:
    return isinstance(depth, str) and depth.endswith("%") and float(depth[:-1]) < 100


def _architecture(suggestion: Config, study: Study) -> str:
    trial = {k: v for k, v in suggestion["trial"].items() if k not in DIFFERENCES}
    of_values = METRICS[study.metric].reads == "values"
    if of_values or trial["class_weights"] == "balanced":
        trial |= {"rows_seed": suggestion["rows_seed"]}
    return json.dumps(trial, sort_keys=True)


def _difference(suggestion: Config) -> Config:
    return {key: suggestion["trial"][key] for key in DIFFERENCES} | {
        key: suggestion[key] for key in ("name", "seed", "rows_seed")
    }


def group_of(config: Config) -> str | None:
    """Return the name of a trial's group; None where it trains alone."""
    return config["fused"]["group"] if "fused" in config else None


def configs_of(config: Config) -> list[Config]:
    """Return what is kept of each trial of a trial's group, as its configuration: the keys that
    `records.IDENTITY` names, its name, phase and group."""
    return [
        {
            "name": member["name"],
            "phase": config["phase"],
            "trial": config["trial"] | {key: member[key] for key in DIFFERENCES},
            "seed": member["seed"],
            "rows_seed": member["rows_seed"],
            "micro_batches": config["micro_batches"],
            "fused": config["fused"] | {"index": index},
        }
        for index, member in enumerate(config["fused"]["members"])
    ]


def trained_at_once(config: Config) -> int:
    """Return how many trials are trained at once with this one, itself among them."""
    return len(config["fused"]["members"]) if "fused" in config else 1


def members_of(config: dict[str, Any]) -> list[MemberConfig]:
    """Return the trials of a trial's group and their seeds."""
    return [
        MemberConfig(TrialConfig.from_flat(of["trial"]), of["seed"], of["rows_seed"])
        for of in configs_of(config)
    ]
