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
from raytl.training.fused_group import MemberConfig

# What trials of one group may differ in, besides their seeds.
DIFFERENCES = ("optimizer.lr", "optimizer.weight_decay", "head.dropout", *FACTORS)
MOST_FUSED = 8  # trials of one group, with `fuse: auto`


def group_size(study: Study) -> int:
    """Return how many trials a group has at most. Fused trials have one worker and take whole
    batches in float32."""
    train, fuse = study.train, study.train.fuse
    plain = train.accumulation_steps == 1 and train.precision == "float32"
    if fuse == "off" or not plain or study.resources.workers != (1, 1):
        return 1
    return MOST_FUSED if fuse == "auto" else fuse


def grouped(suggestions: Sequence[Config], study: Study, scope: str) -> list[Config]:
    """Return the suggestions in their order, those that may train together with their group.
    `scope`: names the run.

    Members have one recipe and one task, so that trials whose task is fitted to labels train with
    those alone that draw the same rows.

    A group is {"group": its name, "index": the member's number, "members": what each differs in}.
    """
    groups: dict[str, list[list[int]]] = {}
    size = group_size(study)
    for number, suggestion in enumerate(suggestions):
        if RECIPES[suggestion["trial"]["recipe"]].vectorises:
            chunks = groups.setdefault(_architecture(suggestion, study), [[]])
            if len(chunks[-1]) == size:
                chunks.append([])
            chunks[-1].append(number)
    found = list(suggestions)
    chunks = [chunk for chunks in groups.values() for chunk in chunks if len(chunk) > 1]
    for count, chunk in enumerate(chunks):
        members = [_difference(suggestions[number]) for number in chunk]
        # What another group left behind is not this one's.
        named = digest_of([_architecture(suggestions[chunk[0]], study), members])[:12]
        for index, number in enumerate(chunk):
            name = f"{scope}-{suggestions[0]['name']}-{count}-{named}"
            group = {"group": name, "index": index, "members": members}
            found[number] = suggestions[number] | {"fused": group}
    return found


def _architecture(suggestion: Config, study: Study) -> str:
    trial = {k: v for k, v in suggestion["trial"].items() if k not in DIFFERENCES}
    of_values = METRICS[study.metric].reads == "values"
    if of_values or trial["class_weights"] == "balanced":
        trial |= {"rows_seed": suggestion["rows_seed"]}
    return json.dumps(trial, sort_keys=True)


def _difference(suggestion: Config) -> Config:
    return {key: suggestion["trial"][key] for key in DIFFERENCES} | {
        key: suggestion[key] for key in ("seed", "rows_seed")
    }


def members_of(config: dict[str, Any]) -> list[MemberConfig]:
    """Return the trials of a trial's group and their seeds."""
    return [
        MemberConfig(
            TrialConfig.from_flat(config["trial"] | {k: member[k] for k in DIFFERENCES}),
            member["seed"],
            member["rows_seed"],
        )
        for member in config["fused"]["members"]
    ]
