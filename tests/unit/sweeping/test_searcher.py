"""A study comes to the same, whatever runs when: on however many slots, however fast, whatever was
lost on the way or trained before."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import numpy as np
import pytest

from raytl.config import Study, TrialConfig
from raytl.predictions import Predictions
from raytl.search_space import SearchSpace
from raytl.sweeping.kept.records import IDENTITY, Config, Metrics, Record, Trained
from raytl.sweeping.search.asked_and_told import Listener, Memory
from raytl.sweeping.search.controls import control_trials
from raytl.sweeping.search.fusing import members_of
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import STARTUP, open_sampler
from raytl.sweeping.search.searcher import MOST_LOST, StudySearch
from raytl.sweeping.verdict.confirming import Confirming

MakeStudy = Callable[..., Study]
METRIC = "target/validation_accuracy"
EPOCHS, TEST_ROWS = 8, 100
TRAIN = {"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 3}
FROZEN = {"frozen_depth": {"choice": ["100%"]}}  # such trials may train together
RATES = {"optimizer.lr": {"choice": [0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003]}}
POINTS = {"recipe": {"choice": ["finetune", "dann", "lp_ft"]}} | RATES | FROZEN
RANGES = FROZEN | {
    "recipe": {"choice": ["finetune", "dann", "lp_ft"]},
    "adversarial_lambda": {"float": [0.1, 10.0], "log": True, "when": {"recipe": "dann"}},
    "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
}


def wide(tiny_study: MakeStudy, **search: Any) -> Study:
    """A study of twenty trials, three tries of two controls and a constant one, and two rounds of
    confirmation."""
    search = {"sampler": "tpe", "trials": 20, "parallel": 3, "control_tries": 3} | search
    return tiny_study(
        space=POINTS if search["sampler"] == "grid" else RANGES, search=search, train=TRAIN,
        confirm={"top": 2, "seeds": [3, 5]},
    )  # fmt: skip


def small(tiny_study: MakeStudy, space: Any = RATES, **search: Any) -> Study:
    """A grid with one try of three controls."""
    search = {"sampler": "grid", "trials": 7, "parallel": 2, "control_tries": 1} | search
    return tiny_study(space=space, search=search, train=TRAIN, confirm={"top": 1, "seeds": [3, 5]})


def random_of(config: Config) -> Random:
    """Return random numbers that hang on the trial alone, not on when it runs."""
    identity = [config[key] for key in ("trial", "seed", "rows_seed")]
    return Random(json.dumps(identity, sort_keys=True))


def some_right(config: Config) -> int:
    return random_of(config).randint(60, 80)


@dataclass
class World:
    """What becomes of each trial, if nobody stops it.

    `failing`: the share of trials with an error of their own. `right`: how many rows of the test
    split a retraining has right.
    """

    study: Study
    failing: float = 0.25
    right: Callable[[Config], int] = some_right
    predicted: dict[str, Predictions] = field(default_factory=dict)  # by the trial's folder

    def whole(self, config: Config) -> Trained:
        """Return the trial up to its last epoch or its error."""
        random, name = random_of(config), objective_metric(self.study).name
        level, failing = random.uniform(0.4, 0.9), self.failing
        if config["phase"] == "confirm":
            failing /= 3
        epochs = random.randrange(EPOCHS) if random.random() < failing else EPOCHS
        values = [
            math.nan if random.random() < 0.01 else round(min(1.0, random.gauss(level, 0.1)), 2)
            for _ in range(epochs)
        ]
        curve = [{"epoch": epoch, name: value} for epoch, value in enumerate(values, 1)]
        return Trained(config, curve, f"failed at {level}" if epochs < EPOCHS else None)

    def predict(self, config: Config) -> None:
        """Leave a retraining's predictions of the test split."""
        rows = np.arange(TEST_ROWS)
        target = rows % 2
        answers = np.where(rows < self.right(config), target, 1 - target)
        self.predicted[config["name"]] = Predictions(rows, target, answers)


@dataclass
class Remembering:
    """A memory. `busy`: how often it says of a trial that another process trains it."""

    world: World
    known: Mapping[str, Trained] = field(default_factory=dict)  # by name
    busy: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Trained] = field(default_factory=dict)

    def recall(self, config: Config) -> Trained | Literal["busy"] | None:
        name = config["name"]
        if self.busy.get(name):
            self.busy[name] -= 1
            return "busy"
        found = self.known.get(name)
        assert found is None or all(found.config[key] == config[key] for key in IDENTITY)
        if found is not None and config["phase"] == "confirm":
            self.world.predict(config)
        return found

    def keep(self, trained: Trained) -> None:
        assert trained.config["name"] not in self.kept
        self.kept[trained.config["name"]] = trained


@dataclass
class Heard(Listener):
    """Keeps what it is told of each trial, which is told once."""

    epochs: Counter[str] = field(default_factory=Counter)
    at_end: dict[str, Record] = field(default_factory=dict)
    known: dict[str, Record] = field(default_factory=dict)

    def reported(self, config: Config, metrics: Metrics) -> None:
        self.epochs[config["name"]] += 1
        assert metrics["epoch"] == self.epochs[config["name"]]

    def ended(self, record: Record) -> None:
        assert record.name not in self.at_end
        self.at_end[record.name] = record

    def settled(self, record: Record) -> None:
        assert record.name not in self.known
        self.known[record.name] = record


def build(
    world: World, memory: Memory | None = None, listeners: Sequence[Listener] = ()
) -> StudySearch:
    study, space = world.study, SearchSpace(world.study)
    objective = objective_metric(study)
    return StudySearch(
        study, space, open_sampler(study, space, objective), objective, memory=memory,
        controls=control_trials(study, space),
        confirming=Confirming(study, world.predicted.__getitem__, redraw=True),
        listeners=listeners,
    )  # fmt: skip


@dataclass
class _Training:
    config: Config
    whole: Trained
    pace: float  # time of an epoch
    due: float
    epoch: int = 0
    over: bool = False


@dataclass
class Slots:
    """Trains what a search suggests, one trial a slot, some a hundred times as fast as others.

    `checkpoints`: epochs of a trial that were trained in a session before; they are only reported
    again. `watch` is called whenever a trial has been started.
    """

    search: StudySearch
    world: World
    slots: int
    random: Random
    checkpoints: Mapping[str, int] = field(default_factory=dict)
    watch: Callable[["Slots"], None] | None = None
    running: dict[str, _Training] = field(default_factory=dict)
    started: list[Config] = field(default_factory=list)
    trained: Counter[tuple[str, int]] = field(default_factory=Counter)

    def run(self, losing_after: int | None = None) -> "Slots":
        """Train until the search is finished or stopped. `losing_after`: after so many events a
        trial is lost."""
        for event in self._events():
            training = min(self.running.values(), key=lambda training: training.due)
            if event == losing_after:
                del self.running[training.config["name"]]
                self.search.end(training.config["name"], lost="its node died")
            else:
                self._step(training)
        for name in self.running:  # Tune stops them where the search is stopped
            self.search.end(name)
        return self

    def _events(self) -> Iterator[int]:
        """Start what there is room for, and yield, as long as something runs."""
        events = waits = 0
        while not self.search.finished and self.search.stopped is None:
            while len(self.running) < self.slots and (config := self.search.suggest()) is not None:
                self._start(config)
            assert self.search.running == len(self.running)
            waits = 0 if self.running else waits + 1
            assert waits < 100, "nothing runs, and nothing is suggested"
            if self.running:
                yield (events := events + 1)

    def _start(self, config: Config) -> None:
        assert config["name"] not in self.running
        pace = 10 ** self.random.uniform(0, 2)
        now = min((training.due for training in self.running.values()), default=0.0)
        training = _Training(config, self.world.whole(config), pace, now + pace)
        self.running[config["name"]] = training
        self.started.append(config)
        if self.watch is not None:
            self.watch(self)

    def _step(self, training: _Training) -> None:
        name, whole = training.config["name"], training.whole
        training.due += training.pace * self.random.uniform(0.5, 1.5)
        if training.over:
            del self.running[name]
            self.search.end(name)
        elif training.epoch == len(whole.curve):
            assert whole.error is not None
            self.search.fail(name, whole.error)
            training.over = True
        else:
            training.epoch += 1
            if training.epoch > self.checkpoints.get(name, 0):
                self.trained[name, training.epoch] += 1
            if training.epoch == EPOCHS and training.config["phase"] == "confirm":
                self.world.predict(training.config)
            stays = self.search.report(name, whole.curve[training.epoch - 1])
            training.over = not stays or training.epoch == EPOCHS


def in_words(record: Record) -> str:
    """Return a record in words that can be compared: but for its group's name, all of it."""
    config = dict(record.config)
    if "fused" in config:
        config["fused"] = {k: v for k, v in config["fused"].items() if k != "group"}
    return json.dumps([config, list(record.curve), record.status, record.error], sort_keys=True)


def outcome(search: StudySearch) -> dict[str, str]:
    return {record.name: in_words(record) for record in search.records()}


def run(study: Study, slots: int = 1) -> StudySearch:
    world = World(study)
    return Slots(build(world), world, slots, Random(0)).run().search


def train(
    search: StudySearch, config: Config, values: Sequence[float], error: str | None = None
) -> int:
    """Train a trial by hand, until it is stopped or there are no more values; return how many
    epochs it has run."""
    ran = 0
    for value in values:
        ran += 1
        metrics = {"epoch": ran, objective_metric(search._study).name: value}
        if not search.report(config["name"], metrics):
            break
    if error is not None:
        search.fail(config["name"], error)
    search.end(config["name"])
    return ran


def suggested(search: StudySearch) -> list[Config]:
    """Return all that can be started now, where no group trains together."""
    found: list[Config] = []
    while (config := search.suggest()) is not None:
        found.append(config)
        if "fused" in config:
            search.take_apart(config["fused"]["group"])
    return found


def phase_of(config: Config) -> str:
    return (
        "confirm" if config["phase"] == "confirm" else "controls" if config["control"] else "search"
    )


def is_searched(config: Config) -> bool:
    return config["phase"] == "search" and config["control"] is None


# The same whatever runs when


@pytest.mark.parametrize(
    ("sampler", "scheduler", "objective"),
    [
        ("tpe", "asha", "auto"),
        ("tpe", "median", "target_entropy"),
        ("tpe", "none", "auto"),
        ("random", "asha", "target_entropy"),
        ("random", "median", "auto"),
        ("grid", "asha", "auto"),
    ],
)
def test_one_set_of_records_whatever_runs_when(
    tiny_study: MakeStudy, sampler: str, scheduler: str, objective: str
) -> None:
    study = wide(tiny_study, sampler=sampler, scheduler=scheduler, objective=objective)
    one_by_one = run(study)
    expected = outcome(one_by_one)
    assert len([name for name in expected if name.startswith("trial-")]) == 20
    statuses = Counter(record.status for record in one_by_one.records())
    assert statuses["completed"] > 10 and statuses["failed"] > 1 and not statuses["unfinished"]
    assert scheduler == "none" or statuses["stopped early"] > 3
    for seed, slots in enumerate([1, 2, 4, 4, 8, 8]):
        world, heard = World(study), Heard()
        ran = Slots(build(world, listeners=[heard]), world, slots, Random(seed)).run()
        assert outcome(ran.search) == expected
        assert set(ran.trained.values()) == {1}
        assert set(heard.at_end) == set(expected)
        assert {name: in_words(record) for name, record in heard.known.items()} == expected
        phases = Counter(phase_of(record.config) for record in ran.search.records())
        assert ran.search.counts == {"search": 20, "controls": 0, "confirm": 0} | phases


def test_one_slot_trains_nothing_that_does_not_count(tiny_study: MakeStudy) -> None:
    """Decisions that come late are what more slots cost."""
    study, epochs = wide(tiny_study, sampler="random"), {}
    for slots in (1, 8):
        world = World(study)
        ran = Slots(build(world), world, slots, Random(0)).run()
        counted = sum(len(record.curve) for record in ran.search.records())
        epochs[slots] = (ran.trained.total(), counted)
    assert epochs[1][0] == epochs[1][1] == epochs[8][1] < epochs[8][0]


def test_a_group_is_called_the_same_whatever_runs_when(tiny_study: MakeStudy) -> None:
    study = wide(tiny_study)
    one, other = (
        {
            record.name: record.config["fused"]["group"]
            for record in run(study, slots).records()
            if "fused" in record.config
        }
        for slots in (1, 8)
    )
    assert one == other


@pytest.mark.parametrize("parallel", [1, 3])
def test_tpe_is_never_ahead_of_what_it_may_know(tiny_study: MakeStudy, parallel: int) -> None:
    study = wide(tiny_study, parallel=parallel)
    numbers: list[int] = []

    def watch(slots: Slots) -> None:
        config = slots.started[-1]
        if is_searched(config):
            number = int(config["id"])
            before = {f"trial-{n:05d}" for n in range(number - parallel + 1)}
            assert before <= set(heard.known)
            searched = {n for n, one in slots.running.items() if is_searched(one.config)}
            assert len(searched - set(heard.known)) <= parallel
            numbers.append(number)

    for seed in range(3):
        world, heard = World(study), Heard()
        Slots(build(world, listeners=[heard]), world, 8, Random(seed), watch=watch).run()
    assert numbers == list(range(20)) * 3


def test_no_more_searched_trials_run_at_once_than_the_lag(tiny_study: MakeStudy) -> None:
    """The second trial is known to be cut once the first comes to the rung, but trains on until it
    reports again."""
    study = small(
        tiny_study, {"optimizer.lr": RANGES["optimizer.lr"]}, sampler="tpe", scheduler="asha"
    )
    search = build(World(study))
    first, second = search.suggest(), search.suggest()
    assert first is not None and second is not None and is_searched(second)
    for epoch in (1, 2):
        search.report(second["name"], {"epoch": epoch, METRIC: 0.1})
    train(search, first, [0.9] * EPOCHS)
    running = [second, *(config for config in suggested(search) if is_searched(config))]
    assert len(running) == 2


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_what_is_drawn_without_learning_waits_for_nothing(
    tiny_study: MakeStudy, sampler: str
) -> None:
    study = wide(tiny_study, sampler=sampler, parallel=1)
    names = [config["name"] for config in suggested(build(World(study)))]
    assert names[:20] == [f"trial-{number:05d}" for number in range(20)]
    assert len(names) == 27  # and the tries of two controls, and of the constant one


def test_controls_fill_slots_while_the_search_waits(tiny_study: MakeStudy) -> None:
    search = build(World(wide(tiny_study, parallel=2, control_tries=1)))
    names = [config["name"] for config in suggested(search)]
    controls = [f"control-{name}-0" for name in ("scratch", "source_only", "constant")]
    assert names == ["trial-00000", "trial-00001", *controls]


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_more_trials_begin_with_the_same_ones(tiny_study: MakeStudy, sampler: str) -> None:
    few, many = (
        {
            record.name: json.dumps([record.config["trial"], list(record.curve), record.status])
            for record in run(wide(tiny_study, sampler=sampler, trials=trials), 4).records()
            if is_searched(record.config)
        }
        for trials in (10, 20)
    )
    assert (len(few), len(many)) == (10, 20)
    assert few == {name: many[name] for name in few}


def test_more_trials_leave_the_first_ones_in_their_groups(tiny_study: MakeStudy) -> None:
    """Else their numbers, which hang on the group, are not those of a study that was as large from
    the beginning."""
    few, many = (
        {
            config["name"]: config["fused"]["members"]
            for config in suggested(build(World(small(tiny_study, RATES | FROZEN, trials=trials))))
            if is_searched(config)
        }
        for trials in (5, 7)
    )
    assert few == {name: many[name] for name in few}


# What was lost


class Busy:
    """A memory that knows nothing; another process trains all, while it is busy."""

    busy = False

    def recall(self, config: Config) -> Literal["busy"] | None:
        return "busy" if self.busy else None

    def keep(self, trained: Trained) -> None:
        pass


def test_a_lost_trial_stops_the_study_until_a_new_search_goes_on(tiny_study: MakeStudy) -> None:
    study = wide(tiny_study)
    expected, random, stops = outcome(run(study)), Random(2), 0
    for _ in range(9):
        world = World(study)
        kept: dict[str, Trained] = {}
        trained: Counter[tuple[str, int]] = Counter()
        while True:
            memory = Remembering(world, dict(kept))
            search, slots = build(world, memory), random.choice([1, 3, 8])
            epochs = Counter(name for name, _ in trained)
            session = Slots(search, world, slots, random, checkpoints=epochs)
            session.run(losing_after=random.randrange(20, 150))
            kept |= memory.kept
            trained += session.trained
            if search.stopped is None:
                break
            assert not search.finished and search.suggest() is None
            stops += 1
        assert search.finished and outcome(search) == expected
        assert set(trained.values()) == {1}
    assert stops >= 9  # each time at least once


def test_what_does_without_a_lost_trial_goes_on_then_it_is_said_what_was_lost(
    tiny_study: MakeStudy,
) -> None:
    search = build(world := World(small(tiny_study)))
    first, second = search.suggest(), search.suggest()
    assert first is not None and second is not None
    search.report(first["name"], {"epoch": 1, METRIC: 0.5})
    search.end(first["name"], lost="its node died")
    search.end(second["name"], lost="its node died, too")
    others = 0
    while (config := search.suggest()) is not None:
        assert search.stopped is None
        world.predict(config)
        train(search, config, [0.5] * EPOCHS)
        others += 1
    assert others > 0 and search.suggest() is None
    assert search.stopped == "trial-00000 (and 1 more) could not be trained: its node died"
    assert not search.finished and search.running == 0
    records = {record.name: record for record in search.records()}
    assert [records[each["name"]].status for each in (first, second)] == ["unfinished"] * 2
    assert len(records[first["name"]].curve) == 1


def test_a_study_does_not_lose_trial_after_trial(tiny_study: MakeStudy) -> None:
    search = build(World(wide(tiny_study)))
    for lost in range(MOST_LOST):
        assert search.stopped is None
        config = search.suggest()
        assert config is not None
        search.end(config["name"], lost=f"the disk is full {lost}")
    assert search.stopped == "trial-00000 (and 2 more) could not be trained: the disk is full 0"
    assert search.suggest() is None


def test_a_lost_trial_does_not_stop_what_another_process_trains(tiny_study: MakeStudy) -> None:
    search = build(World(small(tiny_study)), memory := Busy())
    config = search.suggest()
    assert config is not None
    memory.busy = True
    search.end(config["name"], lost="its node died")
    assert search.suggest() is None and search.stopped is None
    memory.busy = False
    assert search.suggest() is not None


def test_who_is_interrupted_is_unfinished_and_no_reason_to_stop(tiny_study: MakeStudy) -> None:
    world = World(small(tiny_study))
    memory = Remembering(world)
    search = build(world, memory)
    config = search.suggest()
    assert config is not None
    search.report(config["name"], {"epoch": 1, METRIC: 0.5})
    search.end(config["name"])
    assert search.stopped is None and not search.finished and not memory.kept
    assert [record.status for record in search.records()] == ["unfinished"]


def test_who_has_ended_is_not_lost(tiny_study: MakeStudy) -> None:
    """Its process may die after its last report, or after that of an error of its own."""
    search = build(World(small(tiny_study)))
    whole, failed = search.suggest(), search.suggest()
    assert whole is not None and failed is not None
    for epoch in range(1, EPOCHS + 1):
        search.report(whole["name"], {"epoch": epoch, METRIC: 0.5})
    search.fail(failed["name"], "loss must be finite")
    for config in (whole, failed):
        search.end(config["name"], lost="its node died")
    assert search.stopped is None
    assert [record.status for record in search.records()] == ["completed", "failed"]


def test_what_is_reported_again_is_not_taken_again(tiny_study: MakeStudy) -> None:
    heard = Heard()
    search = build(World(small(tiny_study)), listeners=[heard])
    config = search.suggest()
    assert config is not None
    for epoch, value in [(1, 0.1), (2, 0.2), (1, 0.9), (2, 0.9), (3, 0.3)]:
        assert search.report(config["name"], {"epoch": epoch, METRIC: value})
    assert [metrics[METRIC] for metrics in search.records()[0].curve] == [0.1, 0.2, 0.3]
    assert heard.epochs[config["name"]] == 3


# What was trained before


def remembered(world: World, records: Sequence[Record], random: Random) -> dict[str, Trained]:
    """Return some of the trials: whole or failed, in spite of what counts of them; as far as they
    count; or less of them."""
    known: dict[str, Trained] = {}
    for record in records:
        whole = world.whole(record.config)
        part = Trained(record.config, whole.curve[: random.randrange(EPOCHS)])
        counted = Trained(record.config, record.curve, record.error)
        kinds = [whole, whole, counted, part, None, None]
        if (chosen := random.choice(kinds)) is not None:
            known[record.name] = chosen
    return known


@pytest.mark.parametrize(
    ("sampler", "scheduler"), [("tpe", "asha"), ("random", "median"), ("grid", "asha")]
)
def test_what_was_trained_before_changes_nothing_and_is_not_trained_again(
    tiny_study: MakeStudy, sampler: str, scheduler: str
) -> None:
    study = wide(tiny_study, sampler=sampler, scheduler=scheduler)
    records = run(study).records()
    expected, random = {record.name: in_words(record) for record in records}, Random(1)
    for slots in (1, 3, 8) * 3:
        world, heard = World(study), Heard()
        memory = Remembering(world, remembered(world, records, random))
        search = build(world, memory, [heard])
        ran = Slots(search, world, slots, random).run()
        assert outcome(search) == expected
        assert {name: in_words(record) for name, record in heard.known.items()} == expected
        whole = {
            name for name, trained in memory.known.items()
            if trained.error is not None or len(trained.curve) == EPOCHS
        }  # fmt: skip
        started = [config["name"] for config in ran.started]
        assert len(whole) > 5 and not whole & set(started)
        assert len(started) == len(set(started)) and set(memory.kept) == set(expected)


def test_with_all_trained_before_nothing_is_suggested(tiny_study: MakeStudy) -> None:
    study = wide(tiny_study)
    records, world = run(study).records(), World(study)
    known = {
        record.name: Trained(record.config, list(record.curve), record.error) for record in records
    }
    memory = Remembering(world, known)
    search = build(world, memory)
    assert search.suggest() is None
    assert search.finished and memory.kept == known
    assert outcome(search) == {record.name: in_words(record) for record in records}


def test_a_trial_that_was_cut_before_waits_for_the_decision(tiny_study: MakeStudy) -> None:
    """It may be cut again; only if it is not, it is trained."""
    study = small(tiny_study, trials=2, scheduler="asha")
    for value, trained_again in [(0.9, False), (0.05, True)]:
        world = World(study)
        second = [c for c in suggested(build(world)) if is_searched(c)][1]
        curve = [{"epoch": epoch, METRIC: 0.1} for epoch in (1, 2)]
        search = build(world, Remembering(world, {second["name"]: Trained(second, curve)}))
        first, *others = suggested(search)
        assert [config["name"] for config in (first, *others) if is_searched(config)] == [
            "trial-00000"
        ]
        train(search, first, [value] * EPOCHS)
        assert ("trial-00001" in [c["name"] for c in suggested(search)]) == trained_again


def test_a_trial_goes_on_from_what_is_remembered_of_it(tiny_study: MakeStudy) -> None:
    world = World(small(tiny_study))
    first = build(world).suggest()
    assert first is not None
    curve = [{"epoch": epoch, METRIC: 0.1} for epoch in (1, 2, 3)]
    search = build(world, Remembering(world, {first["name"]: Trained(first, curve)}))
    assert search.suggest() == first
    assert search.report(first["name"], {"epoch": 1, METRIC: 0.7})  # it was 0.1
    assert search.report(first["name"], {"epoch": 4, METRIC: 0.4})
    values = [metrics[METRIC] for metrics in search.records()[0].curve]
    assert values == [0.1, 0.1, 0.1, 0.4]


def test_a_trial_that_another_process_trains_is_asked_for_again(tiny_study: MakeStudy) -> None:
    world = World(small(tiny_study, trials=2))
    busy = {"trial-00001": 4, "control-scratch-0": 1}
    search = build(world, Remembering(world, busy=busy))
    names = [config["name"] for config in suggested(search)]
    controls = [f"control-{name}-0" for name in ("source_only", "scratch", "constant")]
    assert names == ["trial-00000", *controls]
    assert search.running == 4
    assert [config["name"] for config in suggested(search)] == ["trial-00001"]
    assert not search.finished


def test_the_study_waits_for_what_another_process_trains(tiny_study: MakeStudy) -> None:
    study = small(tiny_study, trials=2)
    last = run(study).records()[-1].name
    assert last.startswith("confirm-")
    for name in ("trial-00001", "control-scratch-0", last):
        world = World(study)
        search = build(world, Remembering(world, busy={name: 50}))
        Slots(search, world, 2, Random(0)).run()
        assert outcome(search) == outcome(run(study))


def test_who_is_trained_elsewhere_for_a_while_keeps_its_place(tiny_study: MakeStudy) -> None:
    study = wide(tiny_study)
    records, random = run(study).records(), Random(1)
    expected = {record.name: in_words(record) for record in records}
    for slots in (1, 3, 8) * 2:
        world = World(study)
        busy = {r.name: random.randrange(1, 30) for r in records if random.random() < 0.3}
        memory = Remembering(world, remembered(world, records, random), busy)
        search = build(world, memory)
        Slots(search, world, slots, random).run()
        assert outcome(search) == expected


@pytest.mark.parametrize(("epochs", "error"), [(EPOCHS, None), (5, "loss must be finite")])
def test_of_a_recalled_trial_all_is_kept_whatever_counts(
    tiny_study: MakeStudy, epochs: int, error: str | None
) -> None:
    """Another study may not cut it: for that one it must not have failed after two epochs."""
    world = World(small(tiny_study, trials=2, scheduler="asha"))
    second = [config for config in suggested(build(world)) if is_searched(config)][1]
    curve = [{"epoch": epoch, METRIC: 0.1} for epoch in range(1, epochs + 1)]
    memory = Remembering(world, {second["name"]: Trained(second, curve, error)})
    search = build(world, memory)
    first = search.suggest()
    assert first is not None
    train(search, first, [0.9] * EPOCHS)
    suggested(search)
    assert [len(record.curve) for record in search.records()[:2]] == [EPOCHS, 2]
    assert memory.kept[second["name"]] == memory.known[second["name"]]


# What counts


def test_what_is_trained_beyond_a_cut_does_not_count(tiny_study: MakeStudy) -> None:
    """The second trial is at its sixth epoch, and the third has failed after its fourth, when the
    first comes to the rung after two."""
    world, heard = World(small(tiny_study, scheduler="asha")), Heard()
    memory = Remembering(world)
    search = build(world, memory, [heard])
    first, second, third = (search.suggest() for _ in range(3))
    assert first is not None and second is not None and third is not None
    for epoch in range(1, 7):
        assert search.report(second["name"], {"epoch": epoch, METRIC: 0.2})
    train(search, third, [0.3] * 4, error="loss must be finite")
    assert [record.status for record in search.records()] == ["unfinished", "unfinished", "failed"]
    search.report(first["name"], {"epoch": 1, METRIC: 0.9})
    search.report(first["name"], {"epoch": 2, METRIC: 0.9})
    assert not search.report(second["name"], {"epoch": 7, METRIC: 0.2})
    search.end(second["name"])
    assert not heard.known  # the first is to be known before them
    train(search, first, [0.9] * EPOCHS)
    for name in (second["name"], third["name"]):
        record = heard.known[name]
        assert (record.status, len(record.curve), record.error) == ("stopped early", 2, None)
        assert not record.whole and record.last["epoch"] == 2
    assert {name: len(trained.curve) for name, trained in memory.kept.items()} == {
        first["name"]: 8, second["name"]: 6, third["name"]: 4
    }  # fmt: skip
    assert memory.kept[third["name"]].error == "loss must be finite"


def test_nothing_is_reported_of_a_trial_once_it_is_settled(tiny_study: MakeStudy) -> None:
    """TensorBoard has closed its file by then, and what comes does not count."""
    heard = Heard()
    search = build(World(small(tiny_study, scheduler="asha")), listeners=[heard])
    first, second = search.suggest(), search.suggest()
    assert first is not None and second is not None
    for epoch in (1, 2):
        search.report(second["name"], {"epoch": epoch, METRIC: 0.1})
    train(search, first, [0.9] * EPOCHS)
    assert heard.known[second["name"]].status == "stopped early"
    assert not search.report(second["name"], {"epoch": 3, METRIC: 0.1})
    assert heard.epochs[second["name"]] == 2


@pytest.mark.parametrize(("kind", "after"), [("asha", 6), ("median", 5)])
@pytest.mark.parametrize("recipe", ["adda", "lp_ft", "gradual_unfreezing"])
def test_a_trial_is_first_judged_in_its_second_stage(
    tiny_study: MakeStudy, recipe: str, kind: str, after: int
) -> None:
    space = {"recipe": {"choice": ["finetune", recipe]}, "optimizer.lr": RATES["optimizer.lr"]}
    search = build(World(small(tiny_study, space, trials=14, scheduler=kind)))
    ran = {}
    for index, config in enumerate(c for c in suggested(search) if is_searched(c)):
        bad = index in (6, 13)  # the last of each recipe
        ran[index] = train(search, config, [0.1 if bad else 0.75] * EPOCHS)
        assert config["trial"]["recipe"] == ("finetune" if index < 7 else recipe)
    assert [index for index, epochs in ran.items() if epochs < EPOCHS] == [6, 13]
    assert (ran[6], ran[13]) == (2, after)


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_controls_and_confirmation_are_never_compared_with_searched_trials(
    tiny_study: MakeStudy, kind: str
) -> None:
    world = World(small(tiny_study, scheduler=kind))
    search, searched = build(world), 0
    while not search.finished:
        config = search.suggest()
        assert config is not None
        world.predict(config)
        # Ever better searched trials are all whole; nothing else is as good as the worst.
        value = 0.75 + searched / 100 if is_searched(config) else 0.1
        searched += is_searched(config)
        assert train(search, config, [value] * EPOCHS) == EPOCHS


def test_less_is_better_where_the_objective_says_so(tiny_study: MakeStudy) -> None:
    study = small(tiny_study, trials=3, scheduler="asha", objective="target_entropy")
    world = World(study)
    search = build(world)
    trials = [config for config in suggested(search) if is_searched(config)]
    values = {trials[0]["id"]: 0.5, trials[1]["id"]: 0.9, trials[2]["id"]: 0.4}
    ran = [train(search, config, [values[config["id"]]] * EPOCHS) for config in trials]
    assert ran == [EPOCHS, 2, EPOCHS]


# Controls


def tries_of(
    search: StudySearch, control: str, ends: Sequence[tuple[int, str | None]]
) -> list[float]:
    """Let a control's tries end so, one after another, and all else go well; return the learning
    rates that were tried. `ends`: epochs, and an error."""
    rates: list[float] = []
    while (config := search.suggest()) is not None:
        if config["control"] != control or config["phase"] != "search":
            train(search, config, [0.5] * EPOCHS)
            continue
        epochs, error = ends[len(rates)]
        rates.append(config["trial"]["optimizer.lr"])
        # Who is to be stopped is far behind those before.
        train(search, config, [0.9 if epochs == EPOCHS or error else 0.1] * epochs, error)
    return rates


def searching(study: Study) -> StudySearch:
    """Return a search without a confirmation."""
    space, objective = SearchSpace(study), objective_metric(study)
    return StudySearch(
        study, space, open_sampler(study, space, objective), objective,
        controls=control_trials(study, space),
    )  # fmt: skip


def test_a_control_whose_tries_all_fail_is_tried_again_lower_once(tiny_study: MakeStudy) -> None:
    search = searching(small(tiny_study, control_tries=3))
    rates = tries_of(search, "scratch", [(1, "loss must be finite")] * 6)
    assert len(rates) == 6
    assert max(rates[3:]) < min(rates[:3])
    ratios = {round(lower / rate, 9) for rate, lower in zip(rates[:3], rates[3:], strict=True)}
    assert len(ratios) == 1
    assert search.finished
    names = [record.name for record in search.records() if record.status == "failed"]
    assert names == [f"control-scratch-{number}" for number in range(6)]
    assert search.counts == {"search": 7, "controls": 3 + 6 + 1, "confirm": 0}


def test_one_try_that_ends_well_is_enough(tiny_study: MakeStudy) -> None:
    search = searching(small(tiny_study, control_tries=3))
    failed = (1, "loss must be finite")
    assert len(tries_of(search, "scratch", [failed, (EPOCHS, None), failed])) == 3
    assert search.finished


def test_tries_that_were_cut_before_the_best_failed_are_tried_again(
    tiny_study: MakeStudy,
) -> None:
    """Four tries cut the fifth at a rung and fail after it; the sixth fails, too. So the fifth is
    tried again, compared with nobody."""
    failed = (1, "loss must be finite")
    ends = [(3, "out of range")] * 4 + [(2, None), failed, (EPOCHS, None)]
    search = searching(small(tiny_study, control_tries=6))
    rates = tries_of(search, "scratch", ends)
    assert len(rates) == 7 and rates[6] == rates[4]
    statuses = {r.name: r.status for r in search.records() if r.config["control"] == "scratch"}
    assert statuses["control-scratch-4"] == "stopped early"
    assert statuses["control-scratch-6"] == "completed"
    assert search.finished


def test_tries_that_fail_again_are_tried_lower(tiny_study: MakeStudy) -> None:
    failed = (1, "loss must be finite")
    ends = [(3, "out of range")] * 4 + [(2, None)] + [failed] * 20
    search = searching(small(tiny_study, control_tries=6))
    rates = tries_of(search, "scratch", ends)
    # Six tries, the one that was cut once more, and each rate lower
    assert len(rates) == 6 + 1 + 6
    assert max(rates[7:]) < min(rates[:6])
    assert search.finished


# Confirmation


def confirmed(search: StudySearch) -> Counter[str]:
    """Return how many retrainings each configuration has had."""
    return Counter(
        record.config["candidate"]
        for record in search.records()
        if record.config["phase"] == "confirm"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "seeds"),
    [
        (95, {"scratch": 50, "source_only": 50}, {"ours": 3, "scratch": 3, "source_only": 3}),
        (70, {"scratch": 70, "source_only": 70}, {"ours": 5, "scratch": 5, "source_only": 5}),
        (70, {"scratch": 20, "source_only": 70}, {"ours": 5, "scratch": 3, "source_only": 5}),
    ],
)
def test_seeds_are_added_only_where_nothing_is_decided(
    tiny_study: MakeStudy, ours: int, theirs: Mapping[str, int], seeds: Mapping[str, int]
) -> None:
    def right(config: Config) -> int:
        return ours if config["control"] is None else theirs.get(config["control"], 20)

    world = World(small(tiny_study), failing=0, right=right)
    search = Slots(build(world), world, 4, Random(0)).run().search
    counts = confirmed(search)
    (candidate,) = [name for name in counts if name.startswith("trial ")]
    assert counts == {
        candidate: seeds["ours"],
        "scratch control": seeds["scratch"],
        "source_only control": seeds["source_only"],
        "constant control": 3,  # beaten at the first look
    }
    assert search.counts["confirm"] == sum(counts.values()) and search.finished


def test_the_best_are_retrained_once_all_is_searched_and_controls_before(
    tiny_study: MakeStudy,
) -> None:
    world = World(small(tiny_study, trials=2))
    search = build(world)
    first, second, *controls = suggested(search)
    for control in controls:
        assert not [config for config in suggested(search) if config["phase"] == "confirm"]
        train(search, control, [0.5] * EPOCHS)
    names = [config["name"] for config in suggested(search)]
    assert names == [
        f"confirm-{c}-seed{seed}"
        for c in ("scratch", "source_only", "constant")
        for seed in range(3)
    ]
    train(search, first, [0.5] * EPOCHS)
    assert not suggested(search)
    train(search, second, [0.7] * EPOCHS)
    ours = suggested(search)
    assert [config["name"] for config in ours] == [
        f"confirm-trial-00001-seed{seed}" for seed in range(3)
    ]
    assert [config["trial"] for config in ours] == [second["trial"]] * 3
    assert len({config["seed"] for config in (second, *ours)}) == 4
    assert len({config["rows_seed"] for config in ours} - {None}) == 3
    assert search.running == 12 and search.counts == {"search": 2, "controls": 3, "confirm": 12}


def test_a_study_without_a_trial_that_ended_well_finishes_all_the_same(
    tiny_study: MakeStudy,
) -> None:
    world = World(small(tiny_study, scheduler="none"), failing=1.0)
    search = Slots(build(world), world, 3, Random(0)).run().search
    assert search.finished and {record.status for record in search.records()} == {"failed"}
    assert search.counts["confirm"] == 0


# What is suggested


def test_a_searched_trial_says_all_that_it_needs(tiny_study: MakeStudy) -> None:
    study = small(tiny_study, {"optimizer.lr": {"choice": [0.1, 0.05]}}, trials=5)
    first, second, scratch, source_only, constant = suggested(build(World(study)))
    assert (first["name"], first["id"], first["phase"]) == ("trial-00000", "00000", "search")
    assert (first["control"], first["searched"], first["rows_seed"]) == (
        None, ["optimizer.lr"], None,
    )  # fmt: skip
    assert [config["trial"]["optimizer.lr"] for config in (first, second)] == [0.1, 0.05]
    assert (scratch["name"], scratch["id"]) == ("control-scratch-0", "scratch-0")
    assert (scratch["control"], scratch["searched"]) == ("scratch", [])
    assert scratch["trial"]["recipe"] == "scratch"
    every = (first, second, scratch, source_only, constant)
    assert len({config["seed"] for config in every}) == 1


def test_trials_are_counted_as_far_as_they_are_known(tiny_study: MakeStudy) -> None:
    search = build(World(small(tiny_study, {"optimizer.lr": {"choice": [0.1, 0.05]}}, trials=5)))
    assert search.counts == {"search": 5, "controls": 3, "confirm": 0}
    assert search.running == 0 and not search.finished
    assert len(suggested(search)) == 5
    # The grid has two points, not five.
    assert search.counts == {"search": 2, "controls": 3, "confirm": 0}
    assert search.running == 5 and not search.finished


MDD = FROZEN | {
    "recipe": {"choice": ["finetune", "mdd"]}, "optimizer.lr": {"choice": [0.1, 0.03, 0.01]},
}  # fmt: skip


def test_trials_that_differ_in_numbers_alone_are_grouped(tiny_study: MakeStudy) -> None:
    def searched(fuse: int | str) -> list[Config]:
        study = tiny_study(
            space=MDD, train=TRAIN | {"fuse": fuse},
            search={"sampler": "grid", "trials": 6, "parallel": 2},
        )  # fmt: skip
        return [config for config in suggested(build(World(study))) if is_searched(config)]

    found, plain = searched(2), searched("off")
    rates = [trial["trial"]["optimizer.lr"] for trial in found]
    assert rates == [0.1, 0.03, 0.01] * 2  # mdd's losses do not vectorise; the third is left over
    assert ["fused" in trial for trial in found] == [True, True, False, False, False, False]
    first, second = (trial["fused"] for trial in found[:2])
    assert first["group"] == second["group"] and (first["index"], second["index"]) == (0, 1)
    for trial in found[:2]:
        members = members_of(trial)
        assert [member.trial.optimizer.lr for member in members] == [0.1, 0.03]
        assert members[trial["fused"]["index"]].trial == TrialConfig.from_flat(trial["trial"])
    assert [trial["trial"] for trial in plain] == [trial["trial"] for trial in found]
    assert not any("fused" in trial for trial in plain)


GROUP = FROZEN | {"optimizer.lr": {"choice": [0.1, 0.03, 0.01, 0.003]}}


def grouping(tiny_study: MakeStudy, **more: Any) -> Study:
    """A grid of four trials, which are one group where they may be."""
    return tiny_study(
        **{
            "space": GROUP, "train": TRAIN,
            "search": {"sampler": "grid", "trials": 4, "parallel": 2, "control_tries": 1},
        } | more
    )  # fmt: skip


def test_one_trial_of_a_group_runs_at_a_time(tiny_study: MakeStudy) -> None:
    """It trains the others as well; they would hold room for nothing."""
    search = build(World(grouping(tiny_study)))
    first = search.suggest()
    assert first is not None and first["name"] == "trial-00000" and "fused" in first
    others = []
    while (config := search.suggest()) is not None:
        others.append(config)
    assert others and all(config["control"] for config in others)
    search.end(first["name"], lost="its machine")  # it is not over: another goes on
    search.stopped = None
    following = search.suggest()
    assert following is not None and following["name"] == "trial-00001"
    assert search.suggest() is None


def test_a_group_that_is_taken_apart_runs_at_once(tiny_study: MakeStudy) -> None:
    search = build(World(grouping(tiny_study)))
    first = search.suggest()
    assert first is not None
    search.take_apart(first["fused"]["group"])
    names = [config["name"] for config in suggested(search) if is_searched(config)]
    assert names == ["trial-00001", "trial-00002", "trial-00003"]


@pytest.mark.parametrize(
    ("more", "fused"),
    [
        ({}, True),
        ({"space": GROUP | {"frozen_depth": {"choice": ["75%"]}}}, False),
        ({"space": GROUP | {"frozen_depth": {"choice": [0]}}}, False),
        ({"space": GROUP | {"frozen_depth": {"choice": [5]}}}, True),  # may be all blocks
        (
            {
                "space": GROUP
                | {"recipe": {"choice": ["linear_probe"]}, "frozen_depth": {"choice": [0]}}
            },
            True,
        ),
        ({"space": GROUP | {"optimizer.lr": {"choice": [0.1, 0.03, 0.01]}}}, False),  # too few
        (
            {
                "space": GROUP | {"optimizer.lr": {"choice": [0.1, 0.03]}},
                "resources": {"gpus_per_worker": 1},
            },
            True,
        ),
        (
            {
                "space": GROUP | {"optimizer.lr": {"choice": [0.1, 0.03]}},
                "train": TRAIN | {"fuse": 2},
            },
            True,
        ),
    ],
)
def test_who_may_train_together_is_told_by_the_study_as_far_as_it_goes(
    tiny_study: MakeStudy, more: dict[str, Any], fused: bool
) -> None:
    found = [c for c in suggested(build(World(grouping(tiny_study, **more)))) if is_searched(c)]
    assert ["fused" in config for config in found] == [fused] * len(found) and found


def test_tpe_is_asked_ahead_only_while_it_draws_at_random(tiny_study: MakeStudy) -> None:
    space = FROZEN | {"optimizer.lr": RANGES["optimizer.lr"]}
    trials: dict[str, list[Config]] = {}
    for fuse in ("auto", "off"):
        study = tiny_study(
            space=space, train=TRAIN | {"fuse": fuse},
            search={"trials": 12, "parallel": 2, "control_tries": 1},
        )  # fmt: skip
        trials[fuse] = [r.config for r in run(study).records() if is_searched(r.config)]
    fused = ["fused" in config for config in trials["auto"]]
    assert fused == [True] * STARTUP + [False] * 6
    assert [c["trial"] for c in trials["auto"]] == [c["trial"] for c in trials["off"]]
