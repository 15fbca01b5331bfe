"""Rungs: who is compared with whom, when, and who goes."""

from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any
from unittest.mock import Mock

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raytl.config import Study, TrialConfig
from raytl.sweeping.schedulers import ControlRungs, build_scheduler

MakeStudy = Callable[..., Study]
METRIC = "target/validation_accuracy"
CONTROLLER: Any = Mock(**{"get_live_trials.return_value": []})
STOP, CONTINUE = TrialScheduler.STOP, TrialScheduler.CONTINUE


def make_scheduler(tiny_study: MakeStudy, kind: str, epochs: int = 8) -> TrialScheduler:
    study = tiny_study(
        search={"scheduler": kind, "control_tries": 3},
        train={"epochs": epochs, "batch_size": 8, "steps_per_epoch": 3},
    )
    return build_scheduler(study, METRIC, "max")


def make_trial(
    name: str, recipe: str = "finetune", control: str | None = None, phase: str = "search"
) -> Any:
    config = TrialConfig.from_flat({"source_model": "net", "recipe": recipe})
    return Mock(trial_id=name, config={"phase": phase, "control": control, "trial": config.flat()})


def report(scheduler: TrialScheduler, trial: Any, epoch: int, value: float) -> str:
    return scheduler.on_trial_result(
        CONTROLLER, trial, {"training_iteration": epoch, METRIC: value}
    )


def run(scheduler: TrialScheduler, trial: Any, value: float, epochs: int = 8) -> list[str]:
    """Return what is decided after each epoch, until the trial is stopped."""
    scheduler.on_trial_add(CONTROLLER, trial)
    decisions = list[str]()
    while STOP not in decisions and len(decisions) < epochs:
        decisions.append(report(scheduler, trial, len(decisions) + 1, value))
    return decisions


def test_without_a_scheduler_everything_runs_whole(tiny_study: MakeStudy) -> None:
    assert type(make_scheduler(tiny_study, "none")) is FIFOScheduler


@pytest.mark.parametrize("recipe", ["adda", "lp_ft", "gradual_unfreezing"])
@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_trial_is_first_judged_in_its_second_stage(
    tiny_study: MakeStudy, kind: str, recipe: str
) -> None:
    scheduler = make_scheduler(tiny_study, kind)
    for index in range(5):
        run(scheduler, make_trial(f"good-{index}"), 0.9)
    stopped = {
        r: run(scheduler, make_trial(r, r), 0.1).index(STOP) + 1 for r in ("finetune", recipe)
    }
    assert stopped == {"finetune": 2, recipe: {"asha": 6, "median": 5}[kind]}


def test_a_late_judged_trial_does_not_enter_earlier_rungs(tiny_study: MakeStudy) -> None:
    scheduler = make_scheduler(tiny_study, "asha")
    late, early = make_trial("late", "lp_ft"), make_trial("early")
    run(scheduler, late, 0.9)
    scheduler.on_trial_complete(CONTROLLER, late, {"training_iteration": 8, METRIC: 0.9})
    assert run(scheduler, early, 0.5, epochs=2) == [CONTINUE] * 2


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_controls_and_confirmation_are_never_compared_with_searched_trials(
    tiny_study: MakeStudy, kind: str
) -> None:
    scheduler = make_scheduler(tiny_study, kind)
    trials = [make_trial("c", "scratch", "scratch"), make_trial("f", phase="confirm")]
    trials += [make_trial("g", "scratch", "scratch", "confirm")]
    for trial in trials:
        assert set(run(scheduler, trial, 0.1)) == {CONTINUE}
        scheduler.on_trial_complete(CONTROLLER, trial, {"training_iteration": 8, METRIC: 0.1})
    assert STOP not in run(scheduler, make_trial("bad"), 0.05, epochs=7)
    for index in range(5):
        run(scheduler, make_trial(f"good-{index}"), 0.9)
    assert set(run(scheduler, make_trial("c2", "scratch", "scratch"), 0.1)) == {CONTINUE}


def test_the_tries_of_a_control_share_rungs(tiny_study: MakeStudy) -> None:
    scheduler = make_scheduler(tiny_study, "asha")
    one, two, three = (make_trial(name, "scratch", "scratch") for name in "abc")
    other = make_trial("d", "target_only", "target_only")
    for epoch in (1, 2, 3):
        assert report(scheduler, one, epoch, 0.5) == CONTINUE
        assert report(scheduler, two, epoch, 0.6) == CONTINUE
        assert report(scheduler, other, epoch, 0.1) == CONTINUE
    assert report(scheduler, one, 4, 0.5) == CONTINUE
    assert report(scheduler, two, 4, 0.6) == CONTINUE
    assert report(scheduler, one, 5, 0.5) == STOP
    scheduler.on_trial_error(CONTROLLER, two)
    assert [report(scheduler, three, epoch, 0.4) for epoch in (1, 2, 3)] == [CONTINUE] * 3


Curves = dict[str, list[float]]


def play(curves: Curves, order: Iterable[str], epochs: int) -> dict[str, int]:
    """Let tries report one epoch each as `order` names them; return how many each has run."""
    rungs, ran, gone = ControlRungs(epochs, len(curves)), dict.fromkeys(curves, 0), set()
    for name in order:
        if name not in gone and ran[name] < epochs:
            ran[name] += 1
            if not rungs.stays("scratch", name, ran[name], curves[name][ran[name] - 1]):
                gone.add(name)
    return ran


def test_side_by_side_three_tries_cost_less_than_two() -> None:
    curves = {"a": [0.5] * 8, "b": [0.7] * 8, "c": [0.9] * 8}
    assert play(curves, "cba" * 8, 8) == {"a": 2, "b": 4, "c": 8}


def test_whatever_the_order_the_best_at_the_last_rung_runs_whole() -> None:
    # Best at first is not best later.
    curves = {"a": [0.9] * 2 + [0.5] * 6, "b": [0.8] * 8, "c": [0.1] * 8}
    for first, second, third in permutations("abc"):
        in_turn = first * 8 + second * 8 + third * 8
        side_by_side = (first + second + third) * 8
        two_at_once = (first + second) * 8 + third * 8
        for order in (in_turn, side_by_side, two_at_once):
            assert play(curves, order, 8)["b"] == 8
        assert play(curves, side_by_side, 8)["c"] <= 3


@pytest.mark.parametrize(
    ("curves", "epochs", "whole"),
    [
        ({"a": [0.5], "b": [0.6]}, 1, ["a", "b"]),  # no rung before the end
        ({"b": [0.6] * 2, "a": [0.5] * 2}, 2, ["b"]),
        ({"a": [0.5] * 8, "b": [0.5] * 8, "c": [0.5] * 8}, 8, ["a", "b", "c"]),  # ties stay
        ({"b": [0.54] * 8, "a": [0.5] * 8, "c": [0.3] * 8}, 8, ["b", "a"]),  # and close ones
        ({"a": [float("nan")] * 8, "b": [0.1] * 8}, 8, ["b"]),
        ({"a": [float("nan")] * 8, "b": [float("nan")] * 8}, 8, ["a", "b"]),
        ({"a": [0.1] * 8}, 8, ["a"]),
    ],
)
def test_who_runs_whole(curves: Curves, epochs: int, whole: list[str]) -> None:
    ran = play(curves, "".join(curves) * epochs, epochs)
    assert [name for name, count in ran.items() if count == epochs] == whole


def test_a_failed_try_cuts_nobody_any_more() -> None:
    rungs = ControlRungs(8, 3)
    assert rungs.stays("scratch", "a", 4, 0.9)
    assert rungs.stays("scratch", "b", 2, 0.8)
    rungs.failed("scratch")
    # Nor does one that rungs had stopped before, when it is tried again.
    assert all(rungs.stays("scratch", name, 4, 0.5) for name in "bcd")
    assert rungs.stays("target_only", "a", 4, 0.9)
