"""The order of trials: what is trained next, and what is known of what was trained.

Searched trials stand in the order of their numbers: trial n is asked for when trials 0 … n - lag
are settled and told, in their order, and the sampler knows no more than those, whatever else has
ended. Controls and retrainings fill the slots that wait. So what a study comes to does not depend
on how many trials run at once, on which are faster, or on what was known from an earlier run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from optuna.trial import TrialState

from raytl.config import Study, TrialConfig
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace
from raytl.seeds import seed_for
from raytl.sweeping.confirming import Confirming
from raytl.sweeping.controls import control_trials, lower_tries
from raytl.sweeping.fusing import group_size, grouped
from raytl.sweeping.halving import Everyone, Ladder, Tries, rule_of
from raytl.sweeping.objective import ObjectiveMetric
from raytl.sweeping.records import Config, Metrics, Record, Status, Trained
from raytl.sweeping.sampling import STARTUP, Sampler
from raytl.sweeping.selection import Outcome, best_controls, best_searched, outcome_of, trial_name

TOLD: dict[Status, TrialState] = {
    "completed": TrialState.COMPLETE,
    "stopped early": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Memory(Protocol):
    """What was trained before, in this run or another."""

    def recall(self, config: Config) -> Trained | Literal["busy"] | None:
        """Return what was trained of a trial; "busy" while another process trains it."""
        ...

    def keep(self, trained: Trained) -> None:
        """Keep a trial of which nothing more comes."""
        ...


class Listener:
    """Is told of trials as they go. Each method does nothing by default."""

    def reported(self, config: Config, metrics: Metrics) -> None:
        """A trial has trained an epoch, or what it trained before was recalled."""

    def ended(self, record: Record) -> None:
        """Nothing more comes of a trial; what counts of it may not be settled yet."""

    def settled(self, record: Record) -> None:
        """It is known what counts of a trial."""


@dataclass
class _Run:
    config: Config
    ladder: Ladder
    place: int  # on the ladder
    curve: list[Metrics] = field(default_factory=list)
    error: str | None = None
    ended: bool = False


class StudySearch:
    """Suggests trials, and keeps what becomes of them.

    A suggestion is {"name", "id", "phase", "control", "searched", "seed", "rows_seed", "trial",
    "micro_batches"}: the trial's folder; how a person calls it; "search" or "confirm"; the
    control's name or None; the keys that were searched; the trial's seed (the same for all of the
    search, so that they differ by their configuration alone); the seed of its rows, or None for the
    study's; the flat `TrialConfig`; into how many parts a batch is cut; and, where it may be
    trained with others, "fused" (see `fusing.grouped`). Confirmation adds what `retrainings` says.
    """

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        sampler: Sampler,
        objective: ObjectiveMetric,
        *,
        scope: str = "",
        controls: Sequence[tuple[str, TrialConfig]] | None = None,
        confirming: Confirming | None = None,
        memory: Memory | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """`study` has its lag, `search.parallel`. `scope`: names the run, for its fused groups.
        `controls`: the study's by default. `confirming`: what is done with the best; None where the
        search is all."""
        assert study.search.parallel is not None
        self._study, self._space, self._sampler = study, space, sampler
        self._objective, self._confirming = objective, confirming
        self._memory, self._listeners, self._scope = memory, listeners, scope
        self.lag = study.search.parallel  # searched trials that run at once, where they wait
        self._seed = seed_for(study.search.seed, "trial")
        self._runs: dict[str, _Run] = {}
        self._running: set[str] = set()
        self._aside: list[Config] = []  # others train them just now

        self._ladder = Ladder(rule_of(study))
        self._asked: list[Config] = []  # of the sampler, not started
        self._number = self._told = 0
        self._exhausted = False
        self._searched: list[_Run] = []
        self._settled = 0  # searched trials of which it is known what counts, from the first on

        self._tries: dict[str, list[TrialConfig]] = {}
        self._ladders: dict[str, Ladder] = {}
        self._controls: list[Config] = []
        for control, trial in control_trials(study, space) if controls is None else controls:
            self._queue_try(control, trial)
        self._controls_settled: set[str] = set()

        self._outcomes: list[Outcome] = []
        self._retrainings: list[Config] = []
        self._controls_chosen = self._best_chosen = confirming is None
        self.stopped: str | None = None  # why the study cannot go on just now

    @property
    def counts(self) -> dict[str, int]:
        """How many trials each phase has, as far as it is known."""
        confirm = self._confirming.count if self._confirming else 0
        searched = self._study.search.trials
        if self._exhausted:
            searched = min(searched, self._number + len(self._asked))
        return {"search": searched + sum(map(len, self._tries.values())), "confirm": confirm}

    @property
    def finished(self) -> bool:
        """Whether the study has run to its end."""
        return self.stopped is None and self._has_searched() and self._has_confirmed()

    @property
    def waits(self) -> bool:
        """Whether searched trials wait for what is to be learnt from those before."""
        return self._sampler.learns

    @property
    def running(self) -> int:
        """How many trials are trained now."""
        return len(self._running)

    def records(self) -> list[Record]:
        """Return what became of each trial that was started."""
        return [self._record(run) for run in self._runs.values()]

    def suggest(self) -> Config | None:
        """Return a trial that is to be trained now; None while there is none, or no more.

        What was trained before is taken from memory instead of being suggested.
        """
        waiting, self._aside = self._aside, []
        while self.stopped is None:
            config = waiting.pop(0) if waiting else self._next()
            if config is None:
                return None
            run = self._runs.get(config["name"]) or self._start(config)
            found = self._memory.recall(config) if self._memory else None
            if found == "busy" or (found is not None and self._waits_with(run, found)):
                self._aside.append(config)
            elif found is None or not run.ended:
                self._aside += waiting
                self._running.add(config["name"])
                return config
        self._aside += waiting
        return None

    def report(self, name: str, metrics: Metrics) -> bool:
        """Take a trial's metrics after an epoch; return whether it trains on. What was reported
        before is not taken again."""
        run = self._runs[name]
        stays = run.ladder.cut(run.place) is None
        if stays and metrics["epoch"] == len(run.curve) + 1:
            self._note_epoch(run, metrics)
            return run.ladder.cut(run.place) is None
        return stays

    def fail(self, name: str, error: str) -> None:
        """Note a trial's own error, which would come again."""
        self._runs[name].error = error

    def end(self, name: str, *, lost: str | None = None) -> None:
        """Note that a trial has stopped. `lost`: why machines could not train it to its end."""
        self._running.discard(name)
        run = self._runs[name]
        if self._is_over(run):
            self._keep(run)
            self._end(run)
        elif lost is not None and self.stopped is None:
            self.stopped = f"{name} could not be trained: {lost}"

    def _keep(self, run: _Run) -> None:
        if self._memory is not None:
            self._memory.keep(Trained(run.config, run.curve, run.error))

    def _value(self, metrics: Metrics) -> float:
        value = float(metrics[self._objective.name])
        return value if self._objective.mode == "max" else -value

    def _is_over(self, run: _Run) -> bool:
        """Whether nothing more comes of a trial."""
        whole = len(run.curve) >= self._study.train.epochs
        return whole or run.error is not None or run.ladder.cut(run.place) is not None

    def _start(self, config: Config) -> _Run:
        searched = config["phase"] == "search"
        if searched and config["control"] is None:
            trial = TrialConfig.from_flat(config["trial"])
            before = RECIPES[trial.recipe].judged_after(trial) * self._study.train.epochs
            run = _Run(config, self._ladder, self._ladder.add(int(before)))
            self._searched.append(run)
        else:
            ladder = self._ladders[config["control"]] if searched else Ladder(Everyone())
            run = _Run(config, ladder, ladder.add())
        self._runs[config["name"]] = run
        return run

    def _note_epoch(self, run: _Run, metrics: Metrics) -> None:
        run.curve.append(metrics)
        run.ladder.report(run.place, metrics["epoch"], self._value(metrics))
        for listener in self._listeners:
            listener.reported(run.config, metrics)

    def _waits_with(self, run: _Run, trained: Trained) -> bool:
        """Take over what was trained before. Return whether that may be all of the trial: whether
        it is cut there is not known yet."""
        for metrics in trained.curve[len(run.curve) :]:
            self._note_epoch(run, metrics)
        run.error = trained.error
        if self._is_over(run):
            self._keep(run)
            self._end(run)
            return False
        rung = run.ladder.undecided(run.place)
        return rung is not None and rung <= len(run.curve)

    def _end(self, run: _Run) -> None:
        run.ended = True
        run.ladder.end(run.place)
        for listener in self._listeners:
            listener.ended(self._record(run))
        if run.config["phase"] == "confirm":
            self._end_retraining(run)
        self._settle()

    def _record(self, run: _Run) -> Record:
        cut = run.ladder.cut(run.place)
        if cut is not None:
            return Record(run.config, tuple(run.curve[:cut]), "stopped early")
        whole = len(run.curve) >= self._study.train.epochs
        status: Status = "failed" if run.error else "completed" if whole else "unfinished"
        return Record(run.config, tuple(run.curve), status, run.error)

    # What is settled

    def _settle(self) -> None:
        while self._settled < len(self._searched):
            run = self._searched[self._settled]
            if not run.ladder.settled(run.place):
                break
            self._settled += 1
            self._note(run)
        for control in [name for name in self._tries if name not in self._controls_settled]:
            self._settle_control(control)

    def _note(self, run: _Run) -> None:
        record = self._record(run)
        if record.whole and record.config["phase"] == "search":
            self._outcomes.append(outcome_of(record, self._objective))
        for listener in self._listeners:
            listener.settled(record)

    def _settle_control(self, control: str) -> None:
        """Settle a control when all its tries are; where none ran to its end, try again: those that
        were only cut, before another one failed, else lower ones, if there are such."""
        runs = [
            run for run in self._runs.values()
            if run.config["phase"] == "search" and run.config["control"] == control
        ]  # fmt: skip
        if len(runs) < len(self._tries[control]):
            return
        if not all(run.ladder.settled(run.place) for run in runs):
            return
        records = [self._record(run) for run in runs]
        if not any(record.whole for record in records):
            again = self._other_tries(control, records)
            for trial in again:
                self._queue_try(control, trial)
            if again:
                return
        self._controls_settled.add(control)
        for run in runs:
            self._note(run)

    def _other_tries(self, control: str, records: Sequence[Record]) -> list[TrialConfig]:
        first = len(records) == self._study.search.control_tries
        cut = [r for r in records if r.status == "stopped early"] if first else []
        tried = [trial for i, trial in enumerate(self._tries[control])
                 if trial not in self._tries[control][:i]]  # fmt: skip
        return [TrialConfig.from_flat(r.config["trial"]) for r in cut] or lower_tries(
            self._study, tried
        )

    def _queue_try(self, control: str, trial: TrialConfig) -> None:
        tries = self._tries.setdefault(control, [])
        again = len(tries) >= self._study.search.control_tries
        if control not in self._ladders:
            rule = Tries.of(self._study.train.epochs, self._study.search.control_tries)
            self._ladders[control] = Ladder(rule)
        if again:  # compared with nobody: there is none left that did better
            self._ladders[control] = Ladder(Everyone())
        name = f"{control}-{len(tries)}"
        tries.append(trial)
        suggestion = self._suggestion(f"control-{name}", name, control, [], trial)
        self._controls.append(suggestion)

    # What comes next

    def _next(self) -> Config | None:
        if not self._asked and not self._exhausted and self._may_start():
            self._ask()
        if self._asked and self._may_start():
            self._number += 1
            return self._asked.pop(0)
        if self._controls:
            return self._controls.pop(0)
        self._confirm()
        return self._retrainings.pop(0) if self._retrainings else None

    def _may_start(self) -> bool:
        """Whether the next searched trial may be started, and asked for."""
        if self._number >= self._study.search.trials:
            return False
        if not self._sampler.learns:
            return True
        running = sum(run.config["name"] in self._running for run in self._searched)
        return self._number < self._settled + self.lag and running < self.lag

    def _ask(self) -> None:
        """Ask the sampler for the next trials, once it knows what it should."""
        while self._sampler.learns and self._told <= self._number - self.lag:
            self._tell(self._searched[self._told])
        asked: list[Config] = []
        while len(asked) < self._block() and not self._exhausted:
            params = self._sampler.ask()
            if params is None:
                self._exhausted = True
            else:
                asked.append(self._searched_suggestion(self._number + len(asked), params))
        self._asked = self._grouped(asked)

    def _block(self) -> int:
        """Return how many trials are asked for at once: what is drawn without learning may be
        fused. That may be more than the study wants: with which others a trial goes together must
        not hang on how many there are."""
        if not self._sampler.learns:
            return max(group_size(self._study), 1)
        if self._number == 0:
            return STARTUP
        return self._study.train.fuse if isinstance(self._study.train.fuse, int) else 1

    def _tell(self, run: _Run) -> None:
        record = self._record(run)
        values = {m["epoch"]: float(m[self._objective.name]) for m in record.curve}
        self._sampler.tell(self._told, values, TOLD[record.status])
        self._told += 1

    def _searched_suggestion(self, number: int, params: dict[str, Any]) -> Config:
        trial, name = self._space.resolve(params), trial_name(number)
        return self._suggestion(f"trial-{name}", name, None, sorted(params), trial)

    def _suggestion(
        self, name: str, id_: str, control: str | None, searched: list[str], trial: TrialConfig
    ) -> Config:
        return {
            "name": name,
            "id": id_,
            "phase": "search",
            "control": control,
            "searched": searched,
            "seed": self._seed,
            "rows_seed": None,
            "trial": trial.flat(),
            "micro_batches": self._study.train.accumulation_steps,
        }

    def _grouped(self, suggestions: list[Config]) -> list[Config]:
        if not suggestions:
            return []
        prefix = f"{self._scope}-{suggestions[0]['name']}"
        return grouped(suggestions, group_size(self._study), prefix)

    # Confirmation

    def _has_searched(self) -> bool:
        every = self._number >= self._study.search.trials
        every = every or (self._exhausted and not self._asked)
        started = every and not self._controls and not self._aside
        settled = self._settled == len(self._searched)
        return started and settled and len(self._controls_settled) == len(self._tries)

    def _has_confirmed(self) -> bool:
        if self._running or self._retrainings:
            return False
        if self._confirming is None:
            return True
        return self._best_chosen and not self._confirming.wants_more

    def _confirm(self) -> None:
        """Queue what is retrained, as soon as it is known."""
        if self._confirming is None or self._retrainings:
            return
        controls_settled = len(self._controls_settled) == len(self._tries)
        if not self._controls_chosen and controls_settled:
            self._controls_chosen = True
            self._queue_retrainings(self._confirming.add(best_controls(self._outcomes)))
        if not self._best_chosen and self._has_searched():
            self._best_chosen = True
            best = best_searched(self._study, self._outcomes)
            self._queue_retrainings(self._confirming.add(best))
        elif self._best_chosen and not self._running and not self._aside:
            self._queue_retrainings(self._confirming.further())

    def _queue_retrainings(self, suggestions: list[Config]) -> None:
        self._retrainings += self._grouped(suggestions)

    def _end_retraining(self, run: _Run) -> None:
        assert self._confirming is not None
        self._confirming.ended(self._record(run))
        self._note(run)
