"""Which trials and controls are retrained."""

import math
from collections.abc import Callable

import pytest

from raytl.config import Study
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.objective import ObjectiveMetric
from raytl.sweeping.search.selection import (
    Outcome,
    best_controls,
    best_searched,
    dropped_controls,
    outcome_of,
    outcomes_of,
    retrainings,
)


def outcome(number: int, control: str | None, accuracy: float | None, rows: int = 200) -> Outcome:
    loss = -(accuracy if accuracy is not None else number)
    return Outcome(f"{number:05d}", control, {}, loss, accuracy, rows)


def names(outcomes: list[Outcome]) -> list[str | None]:
    return [found.control for found in best_controls(outcomes)]


def test_the_best_try_of_each_control_is_retrained() -> None:
    outcomes = [
        outcome(0, "scratch", 0.80), outcome(1, "scratch", 0.85), outcome(2, "source_only", 0.83),
        outcome(3, "target_only", 0.9), outcome(4, None, 0.99),
    ]  # fmt: skip
    assert [(o.control, o.id) for o in best_controls(outcomes)] == [
        ("scratch", "00001"), ("source_only", "00002"), ("target_only", "00003"),
    ]  # fmt: skip
    assert dropped_controls(outcomes) == []


def test_a_control_clearly_behind_its_kind_is_not_and_that_is_said() -> None:
    outcomes = [
        outcome(0, "scratch", 0.5), outcome(1, "source_only", 0.9),
        outcome(2, "linear_probe", 0.6), outcome(3, "target_only", 0.62),
    ]  # fmt: skip
    assert names(outcomes) == ["source_only", "linear_probe", "target_only"]
    (dropped,) = dropped_controls(outcomes)
    assert dropped.sentence == (
        "the scratch control was not retrained: 50.0 % against 90.0 % of source_only on 200 "
        "validation rows"
    )


def test_the_other_kind_drops_no_control() -> None:
    """scratch transfers nothing: that fine-tuning is better is what the verdict is about."""
    assert names([outcome(0, "scratch", 0.5), outcome(1, "target_only", 0.99)]) == [
        "scratch", "target_only",
    ]  # fmt: skip


def test_few_validation_rows_drop_no_control() -> None:
    few = [outcome(0, "scratch", 0.6, rows=10), outcome(1, "source_only", 0.9, rows=10)]
    assert names(few) == ["scratch", "source_only"]


def test_without_labels_no_control_is_dropped() -> None:
    assert names([outcome(0, "scratch", None), outcome(1, "source_only", None)]) == [
        "scratch", "source_only",
    ]  # fmt: skip


CONFIG = {
    "name": "trial-00004", "id": "00004", "phase": "search", "control": None,
    "trial": {"recipe": "dann"}, "micro_batches": 2,
}  # fmt: skip
CURVE = [
    {"target/validation_accuracy": 0.9, "target/validation_entropy": 0.1},
    {
        "target/validation_accuracy": 0.75, "target/validation_entropy": 0.5,
        "validation_rows": 40, "train/micro_batches": 8,
    },
]  # fmt: skip


ACCURACY = ObjectiveMetric("target/validation_accuracy", "max", "accuracy")
ENTROPY = ObjectiveMetric("target/validation_entropy", "min", "entropy")


@pytest.mark.parametrize(("objective", "loss"), [(ACCURACY, -0.75), (ENTROPY, 0.5)])
def test_an_outcome_is_of_the_last_epoch_and_the_less_the_better(
    objective: ObjectiveMetric, loss: float
) -> None:
    found = outcome_of(Record(CONFIG, CURVE, "completed"), objective)
    assert found == Outcome("00004", None, {"recipe": "dann"}, loss, 0.75, 40, micro_batches=8)
    assert outcome_of(Record(CONFIG, CURVE[:1], "completed"), objective).micro_batches == 2


def test_only_whole_searched_trials_have_an_outcome() -> None:
    records = [
        Record(CONFIG, CURVE, "stopped early"), Record(CONFIG, CURVE, "failed", "no"),
        Record(CONFIG, CURVE), Record(CONFIG | {"phase": "confirm"}, CURVE, "completed"),
        Record(CONFIG | {"id": "00009"}, CURVE, "completed"),
    ]  # fmt: skip
    assert [o.id for o in outcomes_of(records, ACCURACY)] == ["00009"]


def test_the_best_searched_trials_are_retrained(tiny_study: Callable[..., Study]) -> None:
    study = tiny_study(confirm={"top": 3, "seeds": 3})
    outcomes = [
        Outcome("00000", None, {}, math.nan), Outcome("00001", None, {}, -0.5),
        Outcome("scratch-0", "scratch", {}, -0.9), Outcome("00003", None, {}, -0.7),
        Outcome("00002", None, {}, -0.5),
    ]  # fmt: skip
    assert [o.id for o in best_searched(study, outcomes)] == ["00003", "00001", "00002"]


def test_a_retraining_has_its_own_seed_and_the_trials_batches(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study()
    ours = Outcome("00004", None, {"recipe": "dann"}, 0.0, micro_batches=4)
    control = Outcome("scratch-1", "scratch", {}, 0.0)
    second, third = retrainings(study, ours, range(1, 3), redraw=False)
    (same,) = retrainings(study, control, range(1, 2), redraw=False)
    assert second["name"] == "confirm-trial-00004-seed1"
    assert (second["candidate"], second["of_trial"]) == ("trial 00004", "00004")
    assert (second["phase"], second["micro_batches"], second["rows_seed"]) == ("confirm", 4, None)
    assert second["seed"] == same["seed"] != third["seed"]
    assert (same["name"], same["candidate"]) == ("confirm-scratch-seed1", "scratch control")
