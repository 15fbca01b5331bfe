"""Whether the keys, values and conditions of a space hold together."""

from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from pydantic import ValidationError

from raytl.config import TRIAL_KEYS, Distribution, Study, TrialConfig, known_key, nearest
from raytl.errors import ConfigError

Params = dict[str, Any]  # values of a trial by dotted key


def base_params(study: Study) -> Params:
    """Return what a trial has where the space says nothing: the study's `defaults`, and the first
    source model where they name none. Raises ConfigError where they do not hold."""
    unknown = [key for key in study.defaults if not known_key(key)]
    if unknown:
        raise ConfigError(
            f"defaults: unknown key '{unknown[0]}'; {nearest(unknown[0], list(TRIAL_KEYS))}"
        )
    both = [key for key in study.defaults if key in study.space]
    if both and not isinstance(study.space, str):
        # A default inside the space is trial 0's value; one outside it would never be used.
        for key in both:
            if not study.space[key].contains(study.defaults[key]):
                raise ConfigError(
                    f"defaults.{key}: {study.defaults[key]!r} lies outside space.{key}; "
                    "put it inside or remove one of the two"
                )
    base = {"source_model": next(iter(study.source_models))} | study.defaults
    _check_source_model(base["source_model"], study, "defaults.source_model")
    try:
        TrialConfig.from_flat(base)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["defaults", *map(str, first["loc"])])
        raise ConfigError(f"{place}: {law_of(error, first['input'])}") from None
    return base


def law_of(error: ValidationError, value: Any) -> str:
    """Return the first law that does not hold, and the value, once."""
    law = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return law if " got " in law else f"{law}, got {value!r}"


def _check_source_model(name: Any, study: Study, place: str) -> None:
    if name not in study.source_models:
        raise ConfigError(
            f"{place}: unknown source model '{name}'; "
            f"{nearest(str(name), list(study.source_models))}"
        )


def check_key(key: str, distribution: Distribution, study: Study, base: Params) -> None:
    """Raise ConfigError where a key of the space is unknown, where one of its values does not fit
    it, or where its `when` names a parent or a value that does not exist."""
    if not known_key(key):
        raise ConfigError(f"space: unknown key '{key}'; {nearest(key, list(TRIAL_KEYS))}")
    values = distribution.choice if distribution.choice is not None else distribution.bounds
    for value in values:
        if not isinstance(value, str | int | float | bool):
            raise ConfigError(f"space.{key}: {value!r} is not a plain value (text or number)")
        if key == "source_model":
            _check_source_model(value, study, "space.source_model")
        try:
            TrialConfig.from_flat(base | {key: value})
        except ValidationError as error:
            raise ConfigError(f"space.{key}: {law_of(error, value)}") from None
    _check_parents(key, distribution, cast("dict[str, Distribution]", study.space))


def _check_parents(key: str, distribution: Distribution, space: dict[str, Distribution]) -> None:
    for parent, wanted in distribution.when.items():
        known = space.get(parent)
        if known is None or known.choice is None:
            raise ConfigError(
                f"space.{key}.when: '{parent}' must be a choice of this space; "
                f"{nearest(parent, [k for k, d in space.items() if d.choice is not None])}"
            )
        for value in as_list(wanted):
            if value not in known.choice:
                raise ConfigError(
                    f"space.{key}.when.{parent}: {value!r} is never chosen; "
                    f"{parent} is one of {list(known.choice)}"
                )


def in_order(space: dict[str, Distribution]) -> list[str]:
    """Return the keys so that each comes after those that its `when` names. Raises ConfigError
    where they go in a circle."""
    graph = {key: list(distribution.when) for key, distribution in space.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ConfigError(f"space: when goes in a circle: {' → '.join(error.args[1])}") from None


def as_list(value: Any) -> list[Any]:
    """Return what stands in `when` beside a key: a value, or several."""
    return list(value) if isinstance(value, list | tuple) else [value]
