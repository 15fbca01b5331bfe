"""A study's search space: it suggests, enumerates and completes trials."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from raytl.config import Distribution, Study, TrialConfig
from raytl.errors import ConfigError
from raytl.search_space.checks import Params, as_list, base_params, check_key, in_order, law_of
from raytl.search_space.functions import load_function, what_failed


class SearchSpace:
    """The checked space of a study. Calling it with Optuna's trial suggests the active keys.

    Picklable, as Tune's snapshots of the search need. Raises ConfigError where a key is unknown,
    a value does not fit its key, or a `when` names a parent or a value that does not exist.
    """

    def __init__(self, study: Study) -> None:
        self.base = base_params(study)
        self.function = study.space if isinstance(study.space, str) else None
        distributions = {} if isinstance(study.space, str) else study.space
        if self.function is not None:
            load_function(self.function)
        elif not distributions:
            raise ConfigError("space: it is empty; give at least one key, such as optimizer.lr")
        for key, distribution in distributions.items():
            check_key(key, distribution, study, self.base)
        self.distributions = {key: distributions[key] for key in in_order(distributions)}

    def __call__(self, trial: Any) -> Params:
        """Suggest every active key. With a callable space, returns what the callable returns."""
        if self.function is not None:
            returned = load_function(self.function)(trial) or {}
            if not isinstance(returned, Mapping):
                raise ConfigError(
                    f"space: {self.function} must return a dictionary of dotted keys or nothing, "
                    f"got {returned!r:.80}"
                )
            return dict(trial.params) | dict(returned)
        params: Params = {}
        for key, distribution in self.distributions.items():
            if _is_active(distribution, params):
                params[key] = _suggest(trial, key, distribution)
        return params

    def resolve(self, params: Params) -> TrialConfig:
        """Return the complete trial: the defaults with the searched `params` put in."""
        try:
            return TrialConfig.from_flat(self.base | params)
        except ValidationError as error:
            place = ".".join(["space", *map(str, error.errors()[0]["loc"])])
            raise ConfigError(f"{place}: {law_of(error, params)}") from None

    def default_params(self, **pinned: Any) -> Params | None:
        """Return trial 0: the default where the space contains it, else the middle of the space;
        keys in `pinned` have that value where the space contains it.

        None for a callable space, whose keys are known only once it is called.
        """
        if self.function is not None:
            return None
        defaults = TrialConfig.from_flat(self.base).flat() | pinned
        params: Params = {}
        for key, distribution in self.distributions.items():
            if _is_active(distribution, params):
                default = defaults.get(key)  # a branch's depth has none
                inside = default is not None and distribution.contains(default)
                params[key] = default if inside else quantiles(distribution, 1)[0]
        return params

    def grid(self) -> Iterator[Params]:
        """Yield every combination of the active keys. Ranges need a step."""
        if self.function is not None:
            raise ConfigError("space: a callable space has no grid; use sampler tpe or random")
        values = {key: _grid_values(key, d) for key, d in self.distributions.items()}
        yield from self._grid({}, list(self.distributions), values)

    def _grid(self, params: Params, keys: list[str], values: dict[str, list[Any]]) -> Iterator:
        if not keys:
            yield params
            return
        key, rest = keys[0], keys[1:]
        if not _is_active(self.distributions[key], params):
            yield from self._grid(params, rest, values)
            return
        for value in values[key]:
            yield from self._grid(params | {key: value}, rest, values)

    def choices(self, key: str) -> tuple[Any, ...]:
        """Return the values that `key` can take where they can be listed, else its default."""
        distribution = self.distributions.get(key)
        if distribution is not None and distribution.choice is not None:
            return distribution.choice
        return (TrialConfig.from_flat(self.base).flat()[key],)

    def combinations(self, *keys: str) -> Iterator[tuple[Any, ...]]:
        """Yield every combination of the keys' values that a trial may have, once each: of a range
        of whole numbers its ends, of another range the default. None for a branch's depth that a
        trial has not."""
        needed = set(keys)
        for key in reversed(self.distributions):  # parents come before what hangs on them
            if key in needed:
                needed |= set(self.distributions[key].when)
        values = {k: _ends(d) for k, d in self.distributions.items() if k in needed}
        defaults = TrialConfig.from_flat(self.base).flat()
        chosen = self._grid({}, [k for k in values if values[k]], values)
        yield from dict.fromkeys(
            tuple(params.get(key, defaults.get(key)) for key in keys) for params in chosen
        )


def _ends(distribution: Distribution) -> list[Any]:
    if distribution.choice is not None:
        return list(distribution.choice)
    return [round(end) for end in distribution.bounds] if distribution.is_int else []


def quantiles(distribution: Distribution, count: int) -> list[Any]:
    """Return `count` values spread evenly over the distribution, on its own scale."""
    if distribution.choice is not None:
        return list(distribution.choice[:count])
    low, high = distribution.bounds
    fractions = [(i + 0.5) / count for i in range(count)]
    if distribution.log:
        values = [low * (high / low) ** f for f in fractions]
    else:
        values = [low + (high - low) * f for f in fractions]
    if distribution.step:
        values = [low + distribution.step * round((v - low) / distribution.step) for v in values]
    return [round(v) for v in values] if distribution.is_int else values


def _is_active(distribution: Distribution, params: Params) -> bool:
    return all(params.get(k, _ABSENT) in as_list(v) for k, v in distribution.when.items())


_ABSENT = object()


def _suggest(trial: Any, key: str, distribution: Distribution) -> Any:
    if distribution.choice is not None:
        return trial.suggest_categorical(key, list(distribution.choice))
    low, high = distribution.bounds
    if distribution.is_int:
        step = int(distribution.step or 1)
        return trial.suggest_int(key, low, high, step=step, log=distribution.log)
    return trial.suggest_float(key, low, high, step=distribution.step, log=distribution.log)


def _grid_values(key: str, distribution: Distribution) -> list[Any]:
    if distribution.choice is not None:
        return list(distribution.choice)
    low, high = distribution.bounds
    step = distribution.step or (1 if distribution.is_int and not distribution.log else None)
    if step is None:
        raise ConfigError(
            f"space.{key}: the grid sampler needs a choice or a step, got the range [{low}, {high}]"
        )
    count = math.floor((high - low) / step + 1e-9) + 1
    values = [low + i * step for i in range(count)]
    return [round(v) for v in values] if distribution.is_int else values


def check_callable_space(space: SearchSpace, samples: int = 3) -> None:
    """Draw a few trials from a callable space and check them, before anything long starts."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in itertools.repeat(None, samples):
        try:
            params = space(study.ask())
        except ConfigError:
            raise
        except Exception as error:  # the user's own code runs
            raise ConfigError(f"space: {space.function} fails: {what_failed(error)}") from None
        space.resolve(params)
