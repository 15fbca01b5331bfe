"""What becomes of an attempt that ends: the trial's end, or another attempt."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from machines_support import Clock, Machines

from raytl.errors import ConfigError, RaytlError
from raytl.sweeping.on_ray.attempts import CHECK_S, Attempts, Going
from raytl.sweeping.on_ray.faults import Failure
from raytl.sweeping.on_ray.retries import MOST_FAULTS, MOST_IN_A_ROW, Retries

NAN = Failure("doubtful", "loss=nan", "TrainingError", step=17, node="a", sound=True)
FULL = Failure("machine", "OSError: disk full", "OSError", node="a")
EPOCHS = 2


@dataclass
class Search:
    """A search of so many trials."""

    trials: int = 3
    stopped: str | None = None
    error: RaytlError | None = None
    full: OSError | None = None  # what keeping a trial raises
    asked: int = 0
    running: int = 0
    finished: bool = False
    epochs: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[str, tuple[str, bool]] = field(default_factory=dict)
    ends: dict[str, str | None] = field(default_factory=dict)  # trial → how it was lost

    def suggest(self) -> dict[str, Any] | None:
        if self.error is not None:
            raise self.error
        if self.asked >= self.trials:
            return None
        self.asked += 1
        self.running += 1
        return {"name": f"t{self.asked - 1}"}

    def report(self, name: str, metrics: dict[str, Any]) -> bool:
        if self.full is not None:
            raise self.full
        self.epochs.setdefault(name, []).append(metrics["epoch"])
        return metrics["epoch"] < EPOCHS

    def is_over(self, name: str) -> bool:
        return EPOCHS in self.epochs.get(name, [])

    def fail(self, name: str, error: str, *, sure: bool) -> None:
        self.failed[name] = (error, sure)

    def end(self, name: str, *, lost: str | None = None) -> None:
        assert name not in self.ends
        self.ends[name] = lost
        self.running -= 1
        self.finished = len(self.ends) == self.trials
        if self.full is not None:
            raise self.full


@dataclass
class Watching:
    said: list[str] = field(default_factory=list)
    looks: int = 0
    going: list[Going] = field(default_factory=list)

    def look(self, going: Sequence[Going]) -> None:
        self.looks += 1
        self.going = list(going)

    def recovered(self, name: str, cause: str | None) -> None:
        self.said.append(f"{name}: {cause}")

    def avoided(self, node: str) -> None:
        self.said.append(f"away from {node}")


@dataclass
class Study:
    """Attempts at a search's trials on two nodes, two at once."""

    search: Search = field(default_factory=Search)
    watching: Watching = field(default_factory=Watching)
    machines: Machines = field(default_factory=lambda: Machines(["a", "b"]))
    clock: Clock = field(default_factory=Clock)
    error: RaytlError | None = None  # why the study must not go on
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        search: Any = self.search
        retries = Retries(self.machines, self.clock)
        self.attempts = Attempts(search, retries, self.watching, 2, self.check, self.clock)

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def begin(self, node: str = "a") -> str:
        """Begin the next attempt on a node; return the trial."""
        found = self.attempts.suggest()
        assert found is not None
        self.attempts.started(found[0]["name"], node)
        return str(found[0]["name"])

    def fail(self, name: str, failure: Failure) -> None:
        self.attempts.failed(name, failure)
        self.attempts.ended(name, lost=not failure.sound)


@pytest.fixture
def study() -> Study:
    return Study()


def test_a_trial_that_trains_to_its_end_has_ended(study: Study) -> None:
    name = study.begin()
    assert study.attempts.reported(name, {"epoch": 1})
    assert not study.attempts.reported(name, {"epoch": 2})
    study.attempts.ended(name, lost=False)
    assert study.search.ends == {"t0": None} and study.watching.said == []


def test_one_whose_process_is_lost_is_attempted_again_before_others(study: Study) -> None:
    name = study.begin()
    study.attempts.lost(name, "the node died")
    study.attempts.ended(name, lost=True)
    assert study.begin() == name == "t0"
    assert study.search.ends == {} and study.watching.said == ["t0: None"]
    assert study.begin() == "t1"


def test_no_more_are_attempted_at_once_than_there_are_slots(study: Study) -> None:
    first, second = study.begin(), study.begin()
    assert study.attempts.suggest() is None
    study.attempts.ended(second, lost=True)
    assert study.begin() == second
    assert study.attempts.suggest() is None
    study.attempts.ended(first, lost=False)
    assert study.begin() == "t2"


def test_what_waits_for_better_times_leaves_its_slot_to_others(study: Study) -> None:
    for _ in range(2):
        study.fail(study.begin(), FULL)
    assert [study.begin(), study.begin()] == ["t1", "t2"]
    study.attempts.ended("t1", lost=False)
    assert study.attempts.suggest() is None and not study.attempts.over
    study.clock.at = 2.0
    assert study.begin("b") == "t0"


def test_an_error_that_comes_again_elsewhere_ends_the_trial(study: Study) -> None:
    study.fail(study.begin("a"), NAN)
    found = study.attempts.suggest()
    assert found == ({"name": "t0"}, ("a",))
    assert study.attempts.away == ()
    study.attempts.started("t0", "b")
    study.fail("t0", replace(NAN, node="b"))
    assert study.search.failed == {"t0": ("loss=nan", True)}
    assert study.search.ends == {"t0": None}
    assert study.watching.said == ["t0: loss=nan"]


def test_an_error_that_does_not_come_again_is_forgotten(study: Study) -> None:
    study.fail(study.begin("a"), NAN)
    name = study.begin("b")
    study.attempts.reported(name, {"epoch": 1})
    study.attempts.reported(name, {"epoch": 2})
    study.attempts.ended(name, lost=False)
    assert study.search.failed == {} and study.search.ends == {"t0": None}


def test_what_is_told_again_after_a_loss_is_no_progress(study: Study) -> None:
    for lost in range(MOST_FAULTS):
        study.clock.at += 1000.0
        name = study.begin()
        study.attempts.reported(name, {"epoch": 1})
        study.attempts.lost(name, f"loss {lost}")
        study.attempts.ended(name, lost=True)
    # The first epoch was new once: so many faults later the trial is given up.
    assert study.search.ends == {}
    study.clock.at += 1000.0
    study.attempts.ended(study.begin(), lost=True)
    assert study.search.ends == {"t0": "its process was lost"}


def test_what_is_lost_after_all_was_reported_has_ended(study: Study) -> None:
    name = study.begin()
    for epoch in (1, 2):
        study.attempts.reported(name, {"epoch": epoch})
    study.fail(name, FULL)
    assert study.search.ends == {"t0": None} and study.search.failed == {}


def test_that_all_stay_away_from_a_node_is_said(study: Study) -> None:
    for _ in range(MOST_IN_A_ROW - 1):
        study.fail(study.begin(), FULL)  # t0, twice: it waits then
    study.fail(study.begin(), FULL)
    assert study.watching.said[-1] == "away from host-a"
    found = study.attempts.suggest()
    assert found is not None and found[1] == study.attempts.away == ("a",)


def test_where_the_study_must_not_go_on_nothing_is_attempted(study: Study) -> None:
    name = study.begin()
    study.error = RaytlError("another process has taken this run over")
    study.attempts.look()
    assert not study.attempts.must_stop  # it was asked just now
    study.clock.at = CHECK_S + 0.1
    study.attempts.look()
    assert study.attempts.must_stop and study.attempts.over
    assert study.attempts.refused is study.error
    assert study.attempts.suggest() is None
    study.attempts.ended(name, lost=True)
    assert study.search.failed == {} and study.search.ends == {"t0": None}
    assert study.watching.looks == 2


def test_that_the_study_must_not_go_on_is_noticed_while_nothing_runs(study: Study) -> None:
    study.error, study.clock.at = RaytlError("taken over"), CHECK_S + 0.1
    assert study.attempts.suggest() is None and study.attempts.over


def test_what_memory_refuses_ends_the_study(study: Study) -> None:
    study.search.error = ConfigError("another trial-00000")
    assert study.attempts.suggest() is None
    assert study.attempts.refused is study.search.error and study.attempts.over


def test_a_run_that_cannot_be_written_ends_the_study(study: Study) -> None:
    first, second, third = study.begin(), study.begin(), OSError(errno.ENOSPC, "another")
    study.search.full = OSError(errno.ENOSPC, "No space left on device")
    study.attempts.ended(first, lost=False)
    assert study.attempts.refused is study.search.full and study.attempts.must_stop
    study.search.full = third  # of what Tune stops then
    assert not study.attempts.reported(second, {"epoch": 1})
    study.attempts.ended(second, lost=False)
    assert study.attempts.refused is not third
    assert study.search.ends == {first: None, second: None}


def test_a_stopped_search_is_over(study: Study) -> None:
    study.search.stopped = "three were lost"
    assert study.attempts.must_stop and study.attempts.over
    study.search.stopped = None
    for _ in range(3):
        study.attempts.ended(study.begin(), lost=False)
    assert study.attempts.over and not study.attempts.must_stop


def test_whoever_watches_sees_what_is_trained_and_what_waits(study: Study) -> None:
    first, found = study.begin(), study.attempts.suggest()
    assert found is not None
    study.attempts.look()
    assert study.watching.going == [Going({"name": first}, since=0.0), Going(found[0])]
    study.fail(first, FULL)  # tried again at once
    study.clock.at = 3.0
    assert study.begin() == first
    study.fail(first, FULL)
    study.attempts.look()
    (waiting,) = [going for going in study.watching.going if going.due is not None]
    assert waiting.config["name"] == first and waiting.due is not None and waiting.due > 3.0
    assert waiting.since is None
