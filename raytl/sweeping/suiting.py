"""Whether recipes, mappers, validators and rankings suit what the target column asks for."""

from collections.abc import Mapping

from raytl.config import TASK_FACTS, Study
from raytl.config.trial import UNTRAINED_HEADS
from raytl.data.domain import Domains
from raytl.errors import ConfigError
from raytl.modalities.registry import modality_of
from raytl.models.mappers import NORMALISING
from raytl.recipes import RECIPES
from raytl.scoring.validators import VALIDATORS, check_validator
from raytl.search_space import SearchSpace
from raytl.sweeping.opening import placed
from raytl.tasks.map_heads import Taps, least_rows
from raytl.training.closed_form import check_streams


def check_needs(study: Study, space: SearchSpace, column: str) -> None:
    """Raise ConfigError for the first recipe or option of the space that needs what the target
    column, `column`, does not give."""
    gives = study.gives
    for recipe in space.choices("recipe"):
        missing = sorted(RECIPES[recipe].needs - gives)
        if missing:
            able = [name for name in space.choices("recipe") if RECIPES[name].needs <= gives]
            others = able or _of_task(study)
            raise ConfigError(
                f"space.recipe: recipe {recipe} needs {' and '.join(missing)}, but the target "
                f"column '{column}' holds {TASK_FACTS[study.task].holds}; leave it out, and take "
                f"{' or '.join(others)}"
            )
    holds = f"the target column '{column}' holds {TASK_FACTS[study.task].holds}"
    for key, value, why, needed in (
        ("class_weights", "balanced", "weighs classes", "class weights"),
        ("mapper.fit", "class_means", "maps the means of classes", "classes"),
    ):
        if value in space.choices(key) and needed not in gives and _is_used(key, space):
            raise ConfigError(f"space.{key}: {value} {why}, but {holds}; leave it out")
    _check_parts(study, space, holds)


def _of_task(study: Study) -> list[str]:
    """Return the recipes that a study of this task may search."""
    return [
        name
        for name, recipe in RECIPES.items()
        if recipe.needs <= study.gives and name not in UNTRAINED_HEADS
    ]


def check_steps(study: Study, space: SearchSpace) -> None:
    """Raise ConfigError for the first recipe that compares rows with each other, or mapper that
    normalises over them, where a step has too few, and the first recipe that has not what its
    mapper is fitted to."""
    steps = study.train.accumulation_steps
    parts = steps * study.resources.workers[1]
    rows = study.train.batch_size // parts
    keys = ("recipe", "mapper", "mapper.fit", "mapper.batch_norm")
    for recipe, mapper, fit, normalised in space.combinations(*keys):
        least = RECIPES[recipe].least_rows
        if rows < least:
            raise ConfigError(
                f"train.batch_size >= {least} × accumulation_steps × workers_per_trial must hold, "
                f"as recipe {recipe} compares rows with each other, got {study.train.batch_size} "
                f"for {least} × {parts}; raise train.batch_size"
            )
        if normalised and mapper in NORMALISING and study.train.batch_size < 2 * steps:
            raise ConfigError(
                "train.batch_size >= 2 × accumulation_steps must hold, as mapper.batch_norm "
                f"normalises over a step's rows, got {study.train.batch_size} for 2 × {steps}; "
                "raise train.batch_size"
            )
        if mapper == "matrix":
            streams = RECIPES[recipe].streams(study.labelled, study.source_domain is not None)
            with placed("space.mapper"):
                check_streams(fit, recipe, streams)


def check_maps(study: Study, space: SearchSpace, taps: Mapping[str, Taps]) -> None:
    """Raise ConfigError for the first head that normalises over a step's rows where it has one.
    `taps`: what heads read of each source model."""
    steps = study.train.accumulation_steps
    for model, head in space.combinations("source_model", "head"):
        least = least_rows(head, taps[model])
        if study.train.batch_size < least * steps:
            raise ConfigError(
                f"train.batch_size >= {least} × accumulation_steps must hold, as head {head} "
                f"normalises over a step's rows and source model {model} gives maps of 1 x 1 "
                f"pixel, got {study.train.batch_size} for {least} × {steps}; raise "
                "train.batch_size, or the source model's input_size"
            )


def _check_parts(study: Study, space: SearchSpace, holds: str) -> None:
    """Raise ConfigError for a head or mapper that the task cannot have."""
    heads = TASK_FACTS[study.task].heads
    wrong = next((head for head in space.choices("head") if head not in heads), None)
    if wrong is not None:
        able = " or ".join(head for head in heads if head not in UNTRAINED_HEADS.values())
        raise ConfigError(f"space.head: head {wrong} is not for it, as {holds}; take {able}")
    mappers = [mapper for mapper in space.choices("mapper") if mapper != "identity"]
    if mappers and study.gives & {"maps", "sentences"}:
        read = "maps" if "maps" in study.gives else "all that the last block gives"
        raise ConfigError(
            f"space.mapper: mapper {mappers[0]} maps a row's features, but {holds}, and heads read "
            f"{read}; leave it out"
        )


def _is_used(key: str, space: SearchSpace) -> bool:
    return key != "mapper.fit" or "matrix" in space.choices("mapper")


def check_judges(study: Study, domains: Domains, task: str) -> None:
    """Raise ConfigError where the validator that trials are selected by, or the score that source
    models are ranked by, needs what is not there. `task`: its name, for the sentence."""
    gives = {"vector", *(["probabilities"] if "classes" in study.gives else [])}
    if domains.source is not None:
        gives |= {"source rows", "row losses"}
    if all(modality_of(column).mixes for column in domains.columns.values()):
        gives |= {"mixes"}
    if study.objective in VALIDATORS:
        with placed("search.objective"):
            check_validator(study.objective, gives, f"a {task}")
    if study.objective == "target_entropy" and "classes" not in study.gives:
        raise ConfigError(
            "search.objective: target_entropy needs class probabilities, but the target holds "
            f"{TASK_FACTS[study.task].holds}; use auto"
        )
    if study.search.ranking not in ("none", "size"):
        # Imported here: scikit-learn takes its time.
        from raytl.scoring.transferability import check_score

        with placed("search.ranking"):
            check_score(study.search.ranking, study.gives)
            if not study.labelled:
                raise ConfigError(
                    f"{study.search.ranking} needs target labels, but target_domain.labels is "
                    "none; rank by size, or not at all"
                )
