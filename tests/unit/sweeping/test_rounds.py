"""Confirmation in rounds: who is selected, what is decided, who gets more seeds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raytl.config import Study
from raytl.predictions import Predictions
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.selection import Outcome
from raytl.sweeping.verdict.confirming import Confirming
from raytl.sweeping.verdict.rounds import Ended, Retrained, best_of, gather, standing

ROWS = 400


def predicted(right: int, start: int = 0) -> Predictions:
    """Return predictions of which `right` are right, beginning with row `start`."""
    target = np.arange(ROWS) % 2
    wrong = np.ones(ROWS, bool)
    wrong[(start + np.arange(right)) % ROWS] = False
    return Predictions(np.arange(ROWS), target, np.where(wrong, 1 - target, target))


def configuration(
    name: str, rights: list[int], objective: float = 0.5, failed: tuple[int, ...] = ()
) -> Retrained:
    control = name.split()[0] if name.endswith("control") else None
    return Retrained(
        name, control, {seed: objective for seed in range(len(rights)) if seed not in failed},
        {seed: predicted(right) for seed, right in enumerate(rights) if seed not in failed},
        frozenset(failed),
    )  # fmt: skip


@pytest.fixture
def study(tiny_study: Callable[..., Study]) -> Study:
    return tiny_study(confirm={"top": 2, "seeds": [3, 8]})


def test_a_clear_case_is_decided_in_the_first_round(study: Study) -> None:
    now = standing(
        study, [configuration("ours", [380, 381, 382]), configuration("scratch control", [300] * 3)]
    )
    assert now.selected == "ours" and now.decision is not None
    assert (now.decision.kind, dict(now.wanted)) == ("helps", {})


def test_only_what_is_open_gets_more_seeds(study: Study) -> None:
    now = standing(
        study,
        [
            configuration("ours", [300, 330, 310]),
            configuration("scratch control", [200] * 3),
            configuration("source_only control", [305, 310, 306]),
            configuration("linear_probe control", [310] * 3),
        ],
    )
    assert now.decision is not None and now.decision.kind == "undecided"
    assert now.wanted == {"ours": 8, "source_only control": 8}
    assert set(now.against) == {"scratch", "source_only"}


def test_the_last_round_ends_undecided_with_what_would_decide(study: Study) -> None:
    now = standing(
        study,
        [
            configuration("ours", [300, 330, 310, 280, 300, 330, 310, 280]),
            configuration("scratch control", [298] * 8),
        ],
    )
    assert now.decision is not None and now.decision.kind == "undecided"
    assert not now.wanted
    assert now.decision.difference.n == 8


def test_equal_seeds_never_make_a_verdict_of_no_width(study: Study) -> None:
    """Three times two rows more of 400: +0.5 points, which so few rows cannot show."""
    now = standing(
        study, [configuration("ours", [302] * 3), configuration("scratch control", [300] * 3)]
    )
    assert now.decision is not None
    assert now.decision.kind in ("undecided", "equivalent")
    assert now.decision.difference.half_width > 0.002


def test_the_choice_is_validations_and_stays(study: Study) -> None:
    first = configuration("trial 1", [200] * 3, objective=0.7)
    better_on_test = configuration("trial 2", [390] * 3, objective=0.6)
    control = configuration("scratch control", [300] * 3, objective=0.9)
    now = standing(study, [first, better_on_test, control])
    assert now.selected == "trial 1"
    assert now.decision is not None and now.decision.kind == "hurts"
    late = Retrained(
        "trial 2", None, {0: 0.6, 1: 0.6, 2: 0.6, 3: 9.0}, better_on_test.predictions
    )  # seeds of later rounds do not choose
    assert standing(study, [first, late, control]).selected == "trial 1"
    best = best_of(study, [first, better_on_test, control])
    assert best is not None and best.name == "scratch control"


def test_a_failed_seed_leaves_it_undecided(study: Study) -> None:
    ours = configuration("trial 1", [380] * 3, failed=(1,))
    control = configuration("scratch control", [300] * 3)
    now = standing(study, [ours, control])
    assert (now.selected, now.decision, dict(now.wanted)) == ("trial 1", None, {})
    whole = configuration("trial 2", [380] * 3, objective=0.1)
    assert standing(study, [ours, whole, control]).selected == "trial 2"


def test_a_control_that_failed_is_no_opponent(study: Study) -> None:
    ours = configuration("trial 1", [380] * 3)
    controls = [
        configuration("scratch control", [300] * 3),
        configuration("source_only control", [390] * 3, failed=(0,)),
    ]
    assert set(standing(study, [ours, *controls]).against) == {"scratch"}
    assert standing(study, [ours, controls[1]]).decision is None


def test_a_seed_that_fails_later_changes_neither_choice_nor_opponents(study: Study) -> None:
    ours = configuration("trial 1", [302] * 8, objective=0.7, failed=(4,))
    other = configuration("trial 2", [390] * 3, objective=0.6)
    scratch = configuration("scratch control", [300] * 8)
    now = standing(study, [ours, other, scratch])
    assert (now.selected, now.decision, dict(now.wanted)) == ("trial 1", None, {})
    whole = configuration("trial 1", [302] * 8, objective=0.7)
    open_control = configuration("scratch control", [306, 300, 308] + [300] * 5, failed=(5,))
    beaten = configuration("source_only control", [100] * 3)
    now = standing(study, [whole, open_control, beaten])
    assert set(now.against) == {"scratch", "source_only"}
    assert now.decision is not None and now.decision.kind != "helps"
    assert not now.wanted  # the failed seed would never come


def test_what_ended_is_gathered_by_configuration() -> None:
    ended = [
        Ended("scratch control", "scratch", 1, "b", 0.3),
        Ended("trial 2", None, 1, "d", None),
        Ended("scratch control", "scratch", 0, "a", 0.2),
        Ended("trial 2", None, 0, "c", 0.9),
    ]
    ours, control = gather(ended, lambda folder: predicted(ord(folder)), "classes")
    assert (ours.name, control.name) == ("trial 2", "scratch control")
    assert (ours.objectives, ours.failed) == ({0: 0.9}, {1})
    assert control.objectives == {0: 0.2, 1: 0.3}
    assert (control.predictions[1].predicted_N == predicted(ord("b")).predicted_N).all()


def test_a_retraining_that_did_not_run_to_its_end_failed(study: Study) -> None:
    config = {"name": "confirm-scratch-seed1", "candidate": "scratch control", "seed_index": 1}
    metrics = {"epoch": 2, "target/validation_accuracy": 0.25}
    whole = Record(config | {"control": "scratch"}, [metrics], "completed")
    failed = Record(config | {"control": "scratch"}, [metrics], "failed", "loss must be finite")
    assert Ended.of(whole, study) == Ended(
        "scratch control", "scratch", 1, "confirm-scratch-seed1", 0.25
    )
    assert Ended.of(failed, study).objective is None


def test_rounds_follow_from_what_has_ended(study: Study) -> None:
    rights = {"trial 00007": 310, "scratch control": 300}
    confirming = Confirming(study, lambda folder: predicted(*FOLDERS[folder]), redraw=True)
    outcomes = [Outcome("scratch-0", "scratch", {}, -0.8), Outcome("00007", None, {}, -0.9)]
    assert not confirming.may_go_on
    batch = confirming.add(outcomes)
    rounds, may_go_on = [], []
    while batch:
        may_go_on.append(confirming.may_go_on)
        rounds.append([suggestion["name"] for suggestion in batch])
        for suggestion in batch:
            noise = 25 * (-1) ** suggestion["seed_index"] if suggestion["control"] is None else 0
            FOLDERS[suggestion["name"]] = (rights[suggestion["candidate"]] + noise, 0)
            metrics = {"epoch": 2, "target/validation_accuracy": 0.5}
            confirming.ended(Record(suggestion, [metrics], "completed"))
        wants_more = confirming.wants_more
        batch = confirming.further()
        assert bool(batch) == wants_more
    assert [len(names) for names in rounds] == [6, 10]
    assert may_go_on == [True, False]
    assert confirming.count == 16
    assert "confirm-scratch-seed7" in rounds[1]
    assert len({name for names in rounds for name in names}) == 16


FOLDERS: dict[str, tuple[int, int]] = {}


def test_a_round_is_compared_once_however_often_it_is_asked(study: Study) -> None:
    read: list[str] = []

    def reading(folder: str) -> Predictions:
        read.append(folder)
        return predicted(310 if "trial" in folder else 300)

    confirming = Confirming(study, reading)
    outcomes = [Outcome("scratch-0", "scratch", {}, -0.8), Outcome("00007", None, {}, -0.9)]
    for suggestion in confirming.add(outcomes):
        metrics = {"epoch": 2, "target/validation_accuracy": 0.5}
        confirming.ended(Record(suggestion, [metrics], "completed"))
    assert len({confirming.wants_more for _ in range(3)}) == 1
    assert bool(confirming.further()) == confirming.wants_more and len(read) == 6


def test_redrawn_rows_differ_by_seed_and_not_by_candidate(study: Study) -> None:
    def rows_seeds(redraw: bool) -> list[list[Any]]:
        confirming = Confirming(study, predicted, redraw=redraw)  # type: ignore[arg-type]
        outcomes = [Outcome("scratch-0", "scratch", {}, 0.0), Outcome("00007", None, {}, 0.0)]
        batch = confirming.add(outcomes)
        seeds = [suggestion["rows_seed"] for suggestion in batch]
        return [seeds[:3], seeds[3:]]

    one, other = rows_seeds(True)
    assert one == other and len(set(one)) == 3
    assert rows_seeds(False) == [[None] * 3] * 2
