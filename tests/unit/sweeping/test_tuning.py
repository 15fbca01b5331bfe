"""How Tune is told what becomes of attempts, and which of its idle actors are kept meanwhile."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import AuthenticationError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.utils.object_cache import _ObjectCache

from raytl.errors import RaytlError
from raytl.sweeping.on_ray.attempts import Attempts
from raytl.sweeping.on_ray.faults import Failure
from raytl.sweeping.on_ray.trainable import AVOID, FAILED, METRICS, STARTED
from raytl.sweeping.on_ray.tuning import _Judges, _Stops, _Suggests, ray_session

NAN = Failure("doubtful", "loss=nan", "TrainingError", step=17, node="a", sound=True)


@dataclass
class Told:
    """Attempts that keep what they are told."""

    suggestions: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    away: tuple[str, ...] = ()
    over: bool = False
    must_stop: bool = False
    told: list[Any] = field(default_factory=list)

    def suggest(self) -> tuple[dict[str, Any], tuple[str, ...]] | None:
        if not self.suggestions:
            return None
        name, avoid = self.suggestions.pop(0)
        return {"name": name}, avoid

    def started(self, name: str, node: str | None) -> None:
        self.told.append(("started", name, node))

    def reported(self, name: str, metrics: dict[str, Any]) -> bool:
        self.told.append(("reported", name, metrics))
        return bool(metrics["epoch"] < 2)

    def failed(self, name: str, failure: Failure) -> None:
        self.told.append(("failed", name, failure))

    def lost(self, name: str, cause: str | None) -> None:
        self.told.append(("lost", name, cause))

    def ended(self, name: str, *, lost: bool) -> None:
        self.told.append(("ended", name, lost))


@pytest.fixture
def told() -> Told:
    return Told()


def of(told: Told) -> Attempts:
    attempts: Any = told
    return attempts


@pytest.fixture
def controller() -> Any:
    """Tune's, as far as idle actors go."""
    return SimpleNamespace(_actor_cache=_ObjectCache(may_keep_one=True))


def trial(name: str, avoid: tuple[str, ...] = (), error_file: Path | None = None) -> Any:
    """One of Tune's trials. What it asks for hangs on what it avoids."""
    return SimpleNamespace(
        trial_id=f"tune-{name}", config={"name": name, AVOID: avoid}, error_file=error_file,
        placement_group_factory=("room", avoid),
    )  # fmt: skip


def kept(controller: Any) -> dict[Any, int]:
    """Return how many idle actors are kept, by what they were started with."""
    counts = controller._actor_cache._max_num_objects
    return {key: count for key, count in counts.items() if count}


def test_each_of_tunes_trials_is_an_attempt_at_one_of_the_studys(told: Told) -> None:
    told.suggestions = [("t0", ()), ("t0", ("a",)), ("t1", ())]
    suggests = _Suggests(of(told))
    assert suggests.suggest("x") == {"name": "t0", AVOID: ()}
    suggests.on_trial_complete("x", error=True)
    assert suggests.suggest("y") == {"name": "t0", AVOID: ("a",)}
    suggests.on_trial_complete("y", result={})
    assert told.told == [("ended", "t0", True), ("ended", "t0", False)]
    assert suggests.suggest("z") == {"name": "t1", AVOID: ()}
    assert suggests.suggest("later") is None
    told.over = True
    assert suggests.suggest("later") == Searcher.FINISHED


def test_what_a_trial_says_is_passed_on(told: Told, controller: Any) -> None:
    judges, one = _Judges(of(told)), trial("t0")
    say: Callable[[dict[str, Any]], str] = lambda result: judges.on_trial_result(  # noqa: E731
        controller, one, result
    )
    assert say({STARTED: "a"}) == TrialScheduler.CONTINUE
    assert say({METRICS: json.dumps({"epoch": 1})}) == TrialScheduler.CONTINUE
    assert say({METRICS: json.dumps({"epoch": 2})}) == TrialScheduler.STOP
    assert say({FAILED: NAN.dump()}) == TrialScheduler.CONTINUE
    assert told.told == [
        ("started", "t0", "a"), ("reported", "t0", {"epoch": 1}), ("reported", "t0", {"epoch": 2}),
        ("failed", "t0", NAN),
    ]  # fmt: skip


def test_how_a_process_was_lost_is_read_from_tunes_file(
    told: Told, controller: Any, tmp_path: Path
) -> None:
    judges, file = _Judges(of(told)), tmp_path / "error.txt"
    file.write_text("Failure # 1\nTraceback\nActorDiedError: its node died\n\n")
    judges.on_trial_error(controller, trial("t0", error_file=file))
    judges.on_trial_error(controller, trial("t1"))
    assert told.told == [("lost", "t0", "ActorDiedError: its node died"), ("lost", "t1", None)]


def test_idle_actors_hold_no_room_that_a_trial_waits_for(told: Told, controller: Any) -> None:
    judges = _Judges(of(told))
    judges.on_trial_add(controller, trial("t0"))
    assert kept(controller).keys() == {("room", ())}
    judges.on_trial_add(controller, elsewhere := trial("t1", ("a",)))
    assert kept(controller) == {}
    judges.on_trial_add(controller, trial("t2"))
    assert kept(controller) == {}
    judges.on_trial_result(controller, elsewhere, {STARTED: "b"})
    assert kept(controller).keys() == {("room", ())}
    judges.on_trial_add(controller, cut := trial("t4", ("b",)))
    judges.on_trial_result(controller, cut, {METRICS: json.dumps({"epoch": 2})})  # in its folder
    assert kept(controller).keys() == {("room", ())}
    judges.on_trial_add(controller, lost := trial("t3", ("b",)))
    judges.on_trial_error(controller, lost)  # before it has started
    assert kept(controller).keys() == {("room", ())}


def test_actors_on_a_node_that_all_stay_away_from_are_kept_no_more(
    told: Told, controller: Any
) -> None:
    judges = _Judges(of(told))
    judges.on_trial_add(controller, trial("t0"))
    told.away = ("a",)
    judges.on_trial_add(controller, trial("t1", ("a",)))
    assert kept(controller).keys() == {("room", ("a",))}
    told.away = ()
    judges.on_trial_add(controller, trial("t2"))
    assert kept(controller).keys() == {("room", ())}


def test_all_end_where_the_study_cannot_go_on(told: Told) -> None:
    stops = _Stops(of(told))
    assert not stops.stop_all() and not stops("x", {})
    told.must_stop = True
    assert stops.stop_all()


def test_a_cluster_that_wants_a_token_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise AuthenticationError("no token\nwas found. Ensure that it is there")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with (
        pytest.raises(RaytlError, match="no cluster at auto: no token was found; look .* token$"),
        ray_session("auto"),
    ):
        pass


def test_a_failure_is_what_it_was_at_the_other_end(told: Told, controller: Any) -> None:
    judges, one = _Judges(of(told)), trial("t0")
    for failure in (NAN, replace(NAN, node=None, step=None), Failure("machine", "größer")):
        judges.on_trial_result(controller, one, {FAILED: failure.dump()})
    assert [each[2].kind for each in told.told] == ["doubtful", "doubtful", "machine"]
    assert told.told[2][2].text == "größer"
