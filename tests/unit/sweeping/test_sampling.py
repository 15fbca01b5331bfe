"""What is suggested first, and that the same is suggested whenever the same was told."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from raytl.config import Study
from raytl.search_space import SearchSpace
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import (
    GRID_PART,
    STARTUP,
    Asked,
    Params,
    Sampler,
    first_points,
    open_sampler,
)

MakeStudy = Callable[..., Study]
MODELS = {name: {"backbone": "small_cnn", "args": {"width": 4}} for name in ("a", "b")}
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
SPACE = {
    "recipe": {"choice": ["finetune", "dann"]},
    "adversarial_lambda": {"float": [0.1, 10.0], "log": True, "when": {"recipe": "dann"}},
    "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
}


def opened(study: Study, promising: Sequence[str] = ()) -> Sampler:
    return open_sampler(study, SearchSpace(study), objective_metric(study), promising)


def first(study: Study, count: int, promising: Sequence[str] = ()) -> list[Params]:
    """Return so many suggestions, or all there are, of a sampler that is told nothing."""
    sampler = opened(study, promising)
    points = [sampler.ask() for _ in range(count)]
    return [params for params in points if params is not None]


def test_a_grid_begins_with_what_trains_least(tiny_study: MakeStudy) -> None:
    space = {
        "frozen_depth": {"choice": ["0%", "100%", "50%"]},
        "mapper": {"choice": ["identity", "mlp"]},
    }
    points = first(tiny_study(space=space, search={"sampler": "grid"}), 7)
    assert [(point["frozen_depth"], point["mapper"]) for point in points] == list(
        product(["100%", "50%", "0%"], ["identity", "mlp"])
    )


def test_a_grid_begins_with_the_most_frozen_blocks(tiny_study: MakeStudy) -> None:
    space = {"frozen_depth": {"choice": [1, 0, 3]}}
    points = first(tiny_study(space=space, search={"sampler": "grid"}), 3)
    assert [point["frozen_depth"] for point in points] == [3, 1, 0]


def test_a_grids_order_does_not_hang_on_how_many_trials_there_are(tiny_study: MakeStudy) -> None:
    """Else a study that is given more trials later would have begun with others."""
    space = {
        "optimizer.lr": {"choice": [1 / rate for rate in range(1, 101)]},
        "frozen_depth": {"choice": ["0%", "100%", "50%"]},
    }
    few, many = (
        first(tiny_study(space=space, search={"sampler": "grid", "trials": trials}), 301)
        for trials in (2, 300)
    )
    assert few == many
    assert len(many) == len({json.dumps(point) for point in many}) == 300
    depths = [point["frozen_depth"] for point in many]
    for part in (depths[:GRID_PART], depths[GRID_PART:]):
        assert part == sorted(part, key=["100%", "50%", "0%"].index)


DEPTHS = {
    "source_models": MODELS,
    "space": {
        "source_model": {"choice": ["a", "b"]},
        "frozen_depth": {"choice": [0, 1, 3]},
        "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
    },
    "defaults": {"frozen_depth": 1},
}


def test_trial_0_comes_first_then_promising_source_models_then_depths(
    tiny_study: MakeStudy,
) -> None:
    firsts = first_points(SearchSpace(tiny_study(**DEPTHS)), ["b", "a"])
    assert [(p["source_model"], p["frozen_depth"]) for p in firsts] == [
        ("a", 1), ("b", 1), ("a", 3), ("a", 0),
    ]  # fmt: skip
    assert len({point["optimizer.lr"] for point in firsts}) == 1


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_first_points_are_tried_before_the_sampler_suggests(
    tiny_study: MakeStudy, sampler: str
) -> None:
    study = tiny_study(**DEPTHS, search={"sampler": sampler})
    firsts = first_points(SearchSpace(study), ["b", "a"])
    points = first(study, 6, ["b", "a"])
    assert points[:4] == firsts
    assert not [point for point in points[4:] if point in firsts]
    assert [point["frozen_depth"] for point in first(study, 3)] == [1, 3, 0]


def test_first_points_are_as_many_as_tpe_draws_before_it_learns(tiny_study: MakeStudy) -> None:
    space = {"frozen_depth": {"choice": list(range(9))}}
    study = tiny_study(space=space, search={"sampler": "random"})
    assert len(first_points(SearchSpace(study), [])) == 9
    depths = [point["frozen_depth"] for point in first(study, 9)]
    assert depths[:STARTUP] == [0, 8, 7, 6, 5, 4]
    assert depths[STARTUP:] != [3, 2, 1]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_seed_is_a_sequence_of_suggestions(tiny_study: MakeStudy, sampler: str) -> None:
    def draw(seed: int) -> list[Params]:
        return first(tiny_study(space=SPACE, search={"sampler": sampler, "seed": seed}), 12)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_only_tpe_learns(tiny_study: MakeStudy) -> None:
    space = {"optimizer.lr": {"choice": [0.1, 0.01]}}
    learns = {
        sampler: opened(tiny_study(space=space, search={"sampler": sampler})).learns
        for sampler in ("tpe", "random", "grid")
    }
    assert learns == {"tpe": True, "random": False, "grid": False}


def told(number: int, params: Params) -> tuple[Mapping[int, float], TrialState]:
    """Return what becomes of a trial: a third fails or is cut, the others end."""
    state = [COMPLETE, PRUNED, COMPLETE, COMPLETE, FAIL, COMPLETE][number % 6]
    quality = 1 - abs(math.log10(params["optimizer.lr"]) + 2)  # 0.01 is the best rate
    epochs = {COMPLETE: 3, PRUNED: 1, FAIL: 2}[state]
    return {epoch: quality - 1 / epoch for epoch in range(1, epochs + 1)}, state


def search(study: Study, lag: int, count: int, noise: float = 0.0) -> list[Params]:
    """Ask for each trial once those before the last `lag` are told, as the searcher does."""
    sampler = opened(study)
    points: list[Params] = []
    for number in range(count):
        if number >= lag:
            values, state = told(number - lag, points[number - lag])
            sampler.tell(number - lag, {e: v + noise * number for e, v in values.items()}, state)
        params = sampler.ask()
        assert params is not None
        points.append(params)
    return points


def test_tpe_suggests_the_same_where_it_is_told_the_same(tiny_study: MakeStudy) -> None:
    study = tiny_study(space=SPACE, search={"sampler": "tpe", "seed": 1})
    points = search(study, lag=3, count=30)
    assert search(study, lag=3, count=30) == points
    # It does learn: from other results, or from the same ones at other times, something else.
    for other in (search(study, lag=3, count=30, noise=0.3), search(study, lag=5, count=30)):
        assert other[:STARTUP] == points[:STARTUP] and other != points


def test_other_samplers_suggest_the_same_whatever_they_are_told(tiny_study: MakeStudy) -> None:
    study = tiny_study(space=SPACE, search={"sampler": "random", "seed": 1})
    assert search(study, lag=1, count=12) == search(study, lag=5, count=12) == first(study, 12)
    space = {"optimizer.lr": {"choice": [0.1, 0.03, 0.01]}}
    study = tiny_study(space=space, search={"sampler": "grid"})
    assert search(study, lag=1, count=3) == first(study, 3)


@pytest.mark.parametrize(
    ("values", "state", "becomes", "value"),
    [
        ({1: 0.5, 2: 0.75}, COMPLETE, COMPLETE, 0.75),
        ({1: 0.5}, PRUNED, PRUNED, 0.5),
        ({1: 0.5}, FAIL, FAIL, None),
        ({}, FAIL, FAIL, None),
        ({1: 0.5, 2: math.nan}, COMPLETE, FAIL, None),
        ({1: math.nan, 2: 0.75}, COMPLETE, COMPLETE, 0.75),
        ({1: 0.5, 2: math.nan}, PRUNED, PRUNED, None),
    ],
)
def test_what_optuna_is_told(
    tiny_study: MakeStudy,
    values: Mapping[int, float],
    state: TrialState,
    becomes: TrialState,
    value: float | None,
) -> None:
    found = trials_of(tiny_study(space=SPACE, search={"sampler": "tpe"}), values, state)
    assert [trial.state for trial in found] == [TrialState.RUNNING, becomes, TrialState.RUNNING]
    assert found[1].value == value
    assert json.dumps(found[1].intermediate_values) == json.dumps(values)


def trials_of(study: Study, values: Mapping[int, float], state: TrialState) -> list[FrozenTrial]:
    """Return Optuna's trials of three suggestions, after it was told of the second."""
    sampler = opened(study)
    assert isinstance(sampler, Asked)
    for _ in range(3):
        sampler.ask()
    sampler.tell(1, values, state)
    return sampler._study.trials[:3]


@pytest.mark.parametrize(
    ("objective", "direction"), [("target_accuracy", "MAXIMIZE"), ("target_entropy", "MINIMIZE")]
)
def test_optuna_seeks_what_the_objective_calls_better(
    tiny_study: MakeStudy, objective: str, direction: str
) -> None:
    sampler: Any = opened(tiny_study(space=SPACE, search={"objective": objective}))
    assert sampler._study.direction.name == direction
