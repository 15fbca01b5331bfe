"""Which trials are tried again, when and where."""

from dataclasses import dataclass, field, replace

import pytest
from machines_support import Clock, Machines

from raytl.sweeping.on_ray.faults import Failure
from raytl.sweeping.on_ray.retries import (
    AWAY_S,
    LONGEST_DELAY_S,
    MOST_ALIKE,
    MOST_FAULTS,
    MOST_HERE,
    MOST_IN_A_ROW,
    Retries,
    Verdict,
)

FAULT = Failure("machine", "disk full", "OSError", node="a")
NAN = Failure("doubtful", "loss=nan", "TrainingError", epoch=1, step=17, node="a", sound=True)
BUG = Failure("doubtful", "a bug", "ValueError", node="a")


@dataclass
class Seen:
    """What is known on a cluster of four nodes."""

    machines: Machines = field(default_factory=lambda: Machines(list("abcd")))
    clock: Clock = field(default_factory=Clock)
    retries: Retries = field(init=False)

    def __post_init__(self) -> None:
        self.retries = Retries(self.machines, self.clock)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def one() -> Seen:
    """What is known on a machine of its own."""
    return Seen(Machines(["a"]))


def test_an_error_of_its_own_configuration_ends_a_trial_at_once(seen: Seen) -> None:
    own = Failure("own", "frozen_depth <= blocks", "ModelError", node="a")
    assert seen.retries.judge("t", own) == Verdict("own", sure=True)


def test_a_fault_of_a_machine_never_does(seen: Seen) -> None:
    for number in range(MOST_FAULTS):
        fault = replace(FAULT, node="abcd"[number % 4])
        assert seen.retries.judge("t", fault).then == "again"
    assert seen.retries.judge("t", FAULT) == Verdict("given up")


def test_who_gets_further_may_meet_as_many_again(seen: Seen) -> None:
    for _ in range(MOST_FAULTS):
        seen.retries.judge("t", FAULT)
    seen.retries.got_further("t", "b")
    for _ in range(MOST_FAULTS):
        assert seen.retries.judge("t", FAULT).then == "again"


def test_what_is_slow_or_full_gets_time(seen: Seen) -> None:
    delays = [seen.retries.judge("t", FAULT).delay for _ in range(MOST_FAULTS)]
    assert delays[:4] == [0.0, 2.0, 4.0, 8.0]
    assert delays == sorted(delays) and delays[-1] == LONGEST_DELAY_S
    assert sum(delays) > 1800  # an outage of half an hour ends no trial


def test_an_error_that_comes_at_the_same_step_on_a_second_node_ends_a_trial(seen: Seen) -> None:
    assert seen.retries.judge("t", NAN) == Verdict("again")
    assert seen.retries.avoided("t") == ("a",)
    assert seen.retries.judge("t", NAN) == Verdict("again")  # here again, after all
    there = replace(NAN, node="b", epoch=0, text="loss=inf")
    assert seen.retries.judge("t", there) == Verdict("own", sure=True)


def test_at_another_step_or_with_another_error_it_does_not(seen: Seen) -> None:
    seen.retries.judge("t", NAN)
    assert seen.retries.judge("t", replace(NAN, node="b", step=18)).then == "again"
    assert seen.retries.judge("t", replace(NAN, node="c", name="ValueError")).then == "again"
    assert seen.retries.judge("u", replace(NAN, node="d")).then == "again"  # another trial


def test_where_no_two_gpus_round_alike_an_error_that_comes_on_and_on_ends_a_trial(
    seen: Seen,
) -> None:
    for number in range(MOST_ALIKE - 1):
        nan = replace(NAN, node="ab"[number % 2], step=17 + number)
        assert seen.retries.judge("t", nan).then == "again"
    assert seen.retries.judge("t", replace(NAN, step=30)) == Verdict("own", sure=False)


def test_what_met_a_bad_gpu_goes_on_elsewhere(seen: Seen) -> None:
    seen.retries.judge("t", NAN)
    seen.retries.got_further("t", "b")
    assert seen.retries.avoided("t") == ()
    assert seen.retries.judge("t", replace(NAN, node="b")) == Verdict("again")


def test_before_the_first_step_it_may_be_what_all_nodes_lack(seen: Seen) -> None:
    assert seen.retries.judge("t", BUG).then == "again"
    assert seen.retries.judge("t", replace(BUG, node="b")) == Verdict("own", sure=False)


def test_on_a_machine_of_its_own_a_number_comes_out_again(one: Seen) -> None:
    assert one.retries.judge("t", NAN) == Verdict("own", sure=False)


def test_on_a_machine_of_its_own_anything_else_is_tried_twice(one: Seen) -> None:
    assert one.retries.judge("t", BUG) == Verdict("again")
    assert one.retries.judge("t", BUG) == Verdict("own", sure=False)


def test_a_trial_stays_away_from_where_it_fails_repeatedly(seen: Seen) -> None:
    for _ in range(MOST_HERE):
        assert seen.retries.avoided("t") == ()
        seen.retries.judge("t", FAULT)
    assert seen.retries.avoided("t") == ("a",)
    assert seen.retries.avoided("u") == ()
    for _ in range(MOST_HERE):
        seen.retries.judge("t", replace(FAULT, node="c"))
    assert seen.retries.avoided("t") == ("a", "c")


def test_all_stay_away_from_where_one_trial_after_another_fails(seen: Seen) -> None:
    for number in range(MOST_IN_A_ROW):
        assert seen.retries.avoided("new") == () and seen.retries.newly_away() == []
        seen.retries.judge(f"t{number}", FAULT)
    assert seen.retries.avoided("new") == ("a",)
    assert seen.retries.newly_away() == ["host-a"] and seen.retries.newly_away() == []
    seen.retries.got_further("old", "a")  # on another of its GPUs
    assert seen.retries.avoided("new") == ("a",)
    seen.clock.at = AWAY_S + 1
    assert seen.retries.avoided("new") == ()
    seen.retries.judge("t9", FAULT)
    assert seen.retries.avoided("new") == ()  # it has to fail anew


def test_a_node_where_trials_get_further_is_not_left(seen: Seen) -> None:
    for number in range(3 * MOST_IN_A_ROW):
        seen.retries.judge(f"t{number}", FAULT)
        if number % (MOST_IN_A_ROW - 1) == 0:
            seen.retries.got_further("well", "a")
    assert seen.retries.avoided("new") == ()


def test_one_trial_that_fails_everywhere_blames_no_node(seen: Seen) -> None:
    for node in "aaaabbbbcccc":
        seen.retries.judge("t", replace(FAULT, node=node))
    assert seen.retries.away == []


def test_where_most_nodes_fail_the_nodes_are_not_to_blame(seen: Seen) -> None:
    for node in "abcd":
        for number in range(MOST_IN_A_ROW):
            seen.retries.judge(f"{node}{number}", replace(FAULT, node=node))
    assert seen.retries.away == ["a", "b"]


def test_a_trial_never_stays_away_from_all_the_room_there_is(seen: Seen) -> None:
    for node in "abcd":
        for _ in range(MOST_HERE):
            seen.retries.judge("t", replace(FAULT, node=node))
    assert seen.retries.avoided("t") == ()
    large = Seen(Machines(["a", "b"], least=2))
    assert large.retries.judge("t", NAN) == Verdict("own", sure=False)  # it fits nowhere else


def test_nodes_that_are_gone_are_not_named(seen: Seen) -> None:
    for _ in range(MOST_HERE):
        seen.retries.judge("t", FAULT)
    seen.machines.nodes.remove("a")
    assert seen.retries.avoided("t") == ()


def test_a_fault_of_no_known_node_blames_none(seen: Seen) -> None:
    for number in range(9):
        seen.retries.judge(f"t{number}", replace(FAULT, node=None))
    assert seen.retries.away == [] and seen.retries.avoided("t0") == ()
