"""Numbers of a study that fit the minutes."""

from dataclasses import replace

from raytl.config import TrialConfig
from raytl.starting.budget import FILL, LEVELS, Work, budget_for

NET = {"net": 0.01}
CONTROLS = [
    ("scratch", TrialConfig(source_model="net", recipe="scratch")),
    ("linear_probe", TrialConfig(source_model="net", recipe="linear_probe")),
]
WORK = Work(
    step_row=NET, stream=200, streams=1, batch=32, rows=300, judged=50, tested=50, slots=2,
    minutes=30,
)  # fmt: skip


def test_more_minutes_allow_more() -> None:
    found = [
        budget_for(replace(WORK, minutes=minutes), CONTROLS, ["net"], [])
        for minutes in (5, 15, 60, 600)
    ]
    assert [one.level.trials for one in found] == sorted(one.level.trials for one in found)
    assert found[0].level.trials < found[-1].level.trials == LEVELS[0].trials


def test_what_is_reckoned_fits_the_minutes() -> None:
    budget = budget_for(WORK, CONTROLS, ["net"], [])
    assert budget.minutes <= 30 * FILL


def test_where_nothing_fits_the_least_is_taken_and_said() -> None:
    budget = budget_for(replace(WORK, step_row={"net": 10.0}), CONTROLS, ["net"], [])
    assert budget.level == LEVELS[-1]
    assert budget.depths == ("100%",)
    assert budget.minutes > 30


def test_dear_networks_keep_more_blocks_frozen() -> None:
    cheap = budget_for(replace(WORK, step_row={"net": 1e-4}), CONTROLS, ["net"], [])
    assert cheap.depths == ("0%", "50%", "100%")


def test_fresh_networks_alone_freeze_nothing() -> None:
    assert budget_for(WORK, CONTROLS, [], ["net"]).depths == ("0%",)


def test_few_rows_are_passed_over_often_enough() -> None:
    budget = budget_for(replace(WORK, stream=16, batch=16), CONTROLS, ["net"], [])
    assert budget.steps_per_epoch is not None
    assert budget.epochs * budget.steps_per_epoch >= budget.level.steps[0]


def test_many_rows_are_bounded_by_steps() -> None:
    budget = budget_for(replace(WORK, stream=10**6), CONTROLS, ["net"], [])
    assert budget.steps_per_epoch is not None
    assert budget.epochs * budget.steps_per_epoch <= budget.level.steps[1] + budget.epochs


def test_many_slots_do_not_make_what_goes_one_after_the_other_shorter() -> None:
    work = replace(WORK, stream=2000, step_row={"net": 0.1}, slots=64)
    budget = budget_for(work, CONTROLS, ["net"], [])
    one_training = budget.epochs * (budget.steps_per_epoch or 63) * 32 * 0.1 / 60
    assert budget.minutes > 2 * one_training  # a try of scratch, and a retraining


def test_test_rows_are_read_by_each_retraining() -> None:
    few, many = (
        budget_for(replace(WORK, tested=rows, minutes=10), CONTROLS, ["net"], [])
        for rows in (0, 10_000)
    )
    assert many.level.trials < few.level.trials or many.minutes > few.minutes
