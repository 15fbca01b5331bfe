"""What can be named in a study or on the command line, made of the registries' docstrings."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from commands import escaped, table

from raytl.config import CONTROLS
from raytl.config.task_facts import TASK_FACTS
from raytl.data.importers import IMPORTERS
from raytl.modalities.image.catalogue import OWN
from raytl.modalities.series.catalogue import BACKBONES as SERIES
from raytl.modalities.table.catalogue import BACKBONES as TABLE
from raytl.modalities.text.catalogue import BACKBONES as TEXT
from raytl.models.fusion import FUSIONS
from raytl.models.mappers import MAPPERS
from raytl.recipes import RECIPES
from raytl.scoring.metrics import METRICS
from raytl.scoring.transferability import SCORES
from raytl.scoring.validators import VALIDATORS
from raytl.sweeping.search.control_facts import CONTROL_FACTS
from raytl.tasks.box_heads import BOX_HEADS
from raytl.tasks.decoders import DECODERS
from raytl.tasks.heads import HEADS
from raytl.tasks.map_heads import MAP_HEADS
from raytl.tasks.pretrained_decoder import PretrainedDecoder

Row = tuple[str, ...]
HEADS_OF: tuple[tuple[Mapping[str, Any], list[str]], ...] = (
    (HEADS, ["classification", "regression", "forecasting"]),
    (MAP_HEADS, ["segmentation"]),
    (BOX_HEADS, ["detection"]),
    (DECODERS | {"pretrained_decoder": PretrainedDecoder}, ["translation"]),
)


def said(thing: Any) -> str:
    """Return the first paragraph of a docstring as a line of Markdown."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return escaped(re.sub(r"\s+", " ", paragraph))


def _of(registry: Mapping[str, Any], what: Callable[[Any], Any] = lambda entry: entry) -> str:
    rows = [(f"`{name}`", said(what(entry))) for name, entry in registry.items()]
    return table(("name", ""), rows)


def recipes() -> str:
    """Return the recipes that a space may name: no controls, which run by themselves."""
    searched = {name: r for name, r in RECIPES.items() if name not in CONTROLS}
    return _of({"linear_probe": RECIPES["linear_probe"]} | searched)


def controls() -> str:
    """Return the controls, and whether each transfers anything."""
    rows: list[Row] = [
        (f"`{name}`", said(RECIPES[name]), "yes" if facts.transfers else "no")
        for name, facts in CONTROL_FACTS.items()
    ]
    return table(("control", "", "carries anything over"), rows)


def heads() -> str:
    """Return the heads of all tasks but the controls' own."""
    rows = [
        (f"`{name}`", ", ".join(tasks), said(head))
        for registry, tasks in HEADS_OF
        for name, head in registry.items()
        if name != "constant"
    ]
    return table(("head", "of the tasks", ""), rows)


def tasks() -> str:
    """Return each task with what its target holds and what it is judged by."""
    rows = [
        (f"`{name}`", facts.holds, ", ".join(f"`{metric}`" for metric in facts.metrics))
        for name, facts in TASK_FACTS.items()
    ]
    return table(("task", "its target column holds", "metrics, the usual one first"), rows)


def metrics() -> str:
    """Return the metrics in words."""
    rows = [
        (f"`{name}`", escaped(metric.words), f"the {_better(metric.mode)} the better")
        for name, metric in METRICS.items()
    ]
    return table(("metric", "", ""), rows)


def _better(mode: str) -> str:
    return "higher" if mode == "max" else "lower"


def validators() -> str:
    """Return the validators that need no target label."""
    rows = [
        (f"`{name}`", said(validator.score), ", ".join(sorted(validator.needs)))
        for name, validator in VALIDATORS.items()
    ]
    return table(("validator", "", "needs"), rows)


def networks() -> str:
    """Return the networks that raytl has itself, by modality."""
    of: dict[str, Mapping[str, Callable[..., Any]]] = {
        "image, audio": {name: spec.build for name, spec in OWN.items()},
        "text": {name: network.build for name, network in TEXT.items()},
        "table": {name: network.blocks for name, network in TABLE.items()},
        "series": {name: network.build for name, network in SERIES.items()},
    }
    rows = [
        (f"`{name}`", modality, said(build))
        for modality, registry in of.items()
        for name, build in registry.items()
    ]
    return table(("backbone", "column", ""), rows)


def importers() -> str:
    """Return the kinds of `raytl shard`."""
    return _of(IMPORTERS, lambda importer: importer.read)


PARTS: dict[str, Callable[[], str]] = {
    "recipes": recipes,
    "controls": controls,
    "mappers": lambda: _of(MAPPERS),
    "fusions": lambda: _of(FUSIONS),
    "heads": heads,
    "tasks": tasks,
    "metrics": metrics,
    "validators": validators,
    "rankings": lambda: _of(SCORES, lambda score: score.score),
    "networks": networks,
    "importers": importers,
}
