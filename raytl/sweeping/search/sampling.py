"""What is asked of a sampler, and what it is told: by Optuna's public ask and tell, in an order
that the study fixes.

What a sampler suggests hangs on what it knows, so it is told of trials in the order of their
numbers, all of a trial at once, and no sooner than the study's lag wants: `suggestions` and `tell`
are called by the searcher in the same interleaving whatever ran when.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol

import optuna
from optuna.trial import TrialState

from raytl.config import Study
from raytl.search_space import SearchSpace
from raytl.seeds import seed_for
from raytl.sweeping.search.objective import ObjectiveMetric

Params = dict[str, Any]
STARTUP = 6  # trials that TPE is told of before it learns; so many first points at most
GRID_PART = 256  # points of a grid that are sorted together


class Sampler(Protocol):
    """Suggests trials one after another."""

    learns: bool  # whether suggestions hang on what it was told

    def ask(self) -> Params | None:
        """Return the next trial's searched parameters; None where there are no more."""
        ...

    def tell(self, number: int, values: Mapping[int, float], state: TrialState) -> None:
        """Tell what became of the trial that was asked as the `number`-th: its objective after each
        epoch that counts, and COMPLETE, PRUNED or FAIL."""
        ...


class Grid:
    """Every combination of a space's values, in parts each of which begins with the cheapest."""

    learns = False

    def __init__(self, space: SearchSpace) -> None:
        self._points = _cheapest_first(space.grid())

    def ask(self) -> Params | None:
        return next(self._points, None)

    def tell(self, number: int, values: Mapping[int, float], state: TrialState) -> None:
        """A grid learns nothing."""


def _cheapest_first(points: Iterator[Params]) -> Iterator[Params]:
    while part := list(islice(points, GRID_PART)):
        yield from sorted(part, key=_trained_share)


class Asked:
    """Optuna's study, asked and told."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        objective: ObjectiveMetric,
        promising: Sequence[str] = (),
    ) -> None:
        """`promising`: source models in the order in which they are tried after trial 0."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.learns = study.search.sampler == "tpe"
        self._space = space
        directions: dict[str, Literal["maximize", "minimize"]] = {
            "max": "maximize",
            "min": "minimize",
        }
        self._study = optuna.create_study(
            sampler=build_sampler(study), direction=directions[objective.mode]
        )
        for params in first_points(space, promising)[:STARTUP]:
            self._study.enqueue_trial(params)
        self._trials: list[optuna.trial.Trial] = []

    def ask(self) -> Params | None:
        trial = self._study.ask()
        self._trials.append(trial)
        return self._space(trial)

    def tell(self, number: int, values: Mapping[int, float], state: TrialState) -> None:
        trial, last = self._trials[number], math.nan
        for epoch, value in values.items():
            trial.report(value, epoch)
            last = value
        if state == TrialState.COMPLETE and not math.isnan(last):
            self._study.tell(trial, last)
        else:
            pruned = state == TrialState.PRUNED
            self._study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)


def build_sampler(study: Study) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler. TPE is multivariate and grouped, as conditional spaces want."""
    seed = seed_for(study.search.seed, "sampler")
    if study.search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # Grouping is called experimental; conditional spaces need it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=STARTUP, constant_liar=True
        )


def open_sampler(
    study: Study, space: SearchSpace, objective: ObjectiveMetric, promising: Sequence[str] = ()
) -> Sampler:
    """Return the study's sampler, which has been asked nothing yet."""
    if study.search.sampler == "grid":
        return Grid(space)
    return Asked(study, space, objective, promising)


def first_points(space: SearchSpace, promising: Sequence[str]) -> list[Params]:
    """Return what is tried before the sampler suggests: trial 0, trial 0 with each promising source
    model, and with each frozen depth, the cheapest first."""
    firsts = [space.default_params()]
    firsts += [space.default_params(source_model=name) for name in promising]
    depths = [{"frozen_depth": depth} for depth in space.choices("frozen_depth")]
    firsts += [space.default_params(**depth) for depth in sorted(depths, key=_trained_share)]
    return [p for i, p in enumerate(firsts) if p is not None and p not in firsts[:i]]


def _trained_share(params: Params) -> float:
    """Return how much of a backbone the trial trains, 0 … 1, as far as its parameters say: what
    its seconds grow with, all the more where prefix features are stored."""
    depth = params.get("frozen_depth", 0)
    if isinstance(depth, str):
        return 1.0 - float(depth.rstrip("%")) / 100.0
    return 1.0 / (1.0 + depth)
