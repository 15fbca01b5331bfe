"""What is trained next, and what is known of what was trained.

Searched trials come first; controls and retrainings fill the slots that wait. What a study comes to
does not depend on how many trials run at once, on which are faster, or on what was known from an
earlier run.
"""

from collections.abc import Sequence

from raytl.config import Study, TrialConfig
from raytl.search_space import SearchSpace
from raytl.sweeping.kept.records import Config, Metrics, Record, Trained
from raytl.sweeping.search.asked_and_told import Listener, Memory, Retrained
from raytl.sweeping.search.control_tries import ControlTries
from raytl.sweeping.search.fusing import group_of, grouped
from raytl.sweeping.search.halving import Everyone, Ladder
from raytl.sweeping.search.objective import ObjectiveMetric
from raytl.sweeping.search.runs import Run
from raytl.sweeping.search.sampling import Sampler
from raytl.sweeping.search.searched import SearchedTrials
from raytl.sweeping.search.selection import Outcome, best_controls, best_searched, outcomes_of

MOST_LOST = 3  # trials that machines could not train, before the study stops for now


class StudySearch:
    """Suggests trials (see `runs.suggestion`), and keeps what becomes of them."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        sampler: Sampler,
        objective: ObjectiveMetric,
        *,
        controls: Sequence[tuple[str, TrialConfig]],
        scope: str = "",
        confirming: Retrained | None = None,
        memory: Memory | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """`study` has its lag, `search.parallel`. `controls`: in the order in which they run.
        `scope`: names the run, for its fused groups. `confirming`: what is done with the best; None
        where the search is all."""
        self._study, self._objective, self._scope = study, objective, scope
        self._confirming, self._memory, self._listeners = confirming, memory, listeners
        self.searched = SearchedTrials(study, space, sampler, objective, scope)
        self._controls = ControlTries(study, controls)
        self._runs: dict[str, Run] = {}
        self._running: dict[str, Run] = {}
        # What others train just now, or what waits for a decision
        self._aside: list[Config] = []
        self._apart: set[str] = set()  # groups whose trials train one by one after all
        self._retrainings: list[Config] = []
        self._controls_chosen = self._best_chosen = confirming is None
        self._lost: dict[str, str] = {}  # trials that machines could not train: why
        self.stopped: str | None = None  # why the study cannot go on just now

    @property
    def counts(self) -> dict[str, int]:
        """How many trials each phase has, as far as it is known."""
        confirm = self._confirming.count if self._confirming else 0
        searched, controls = self.searched.count, self._controls.count
        return {"search": searched, "controls": controls, "confirm": confirm}

    @property
    def may_confirm_more(self) -> bool:
        """Whether more rounds of confirmation may come than `counts` knows of."""
        return self._confirming is not None and self._confirming.may_go_on

    @property
    def finished(self) -> bool:
        """Whether the study has run to its end."""
        if self.stopped is not None or self._lost or not self._has_searched():
            return False
        if self._running or self._aside or self._retrainings:
            return False
        return self._confirming is None or (self._best_chosen and not self._confirming.wants_more)

    @property
    def running(self) -> int:
        """How many trials are trained now."""
        return len(self._running)

    def records(self) -> list[Record]:
        """Return what became of each trial that was started."""
        return [run.record() for run in self._runs.values()]

    def suggest(self) -> Config | None:
        """Return a trial that is to be trained now; None while there is none, or no more.

        What was trained before is taken from memory instead of being suggested.
        """
        self._settle()
        waiting, self._aside, busy = self._aside, [], False
        while self.stopped is None:
            config = waiting.pop(0) if waiting else self._next()
            if config is None:
                self._stop_if_lost(elsewhere=busy)
                return None
            run = self._runs.get(config["name"]) or self._start(config)
            if self._is_trained(config):
                self._aside.append(config)
                continue
            found = self._memory.recall(config) if self._memory else None
            busy = busy or found == "busy"
            if found == "busy" or (found is not None and self._waits_with(run, found)):
                self._aside.append(config)
            elif not run.ended:
                self._aside += waiting
                self._running[run.name] = run
                return config
        self._aside += waiting
        return None

    def report(self, name: str, metrics: Metrics) -> bool:
        """Take a trial's metrics after an epoch; return whether it trains on. What was reported
        before, or comes after it was cut, is not taken."""
        run = self._runs[name]
        if run.cut is None and metrics["epoch"] == len(run.curve) + 1:
            self._add(run, metrics)
        return run.cut is None

    def is_over(self, name: str) -> bool:
        """Whether nothing more is wanted of a trial."""
        return self._runs[name].over

    def take_apart(self, group: str) -> None:
        """Note that the trials of a group do not train together after all."""
        self._apart.add(group)

    def _is_trained(self, config: Config) -> bool:
        """Whether another trial of its group runs, which trains this one as well."""
        group = group_of(config)
        if group is None or group in self._apart:
            return False
        return any(group_of(run.config) == group for run in self._running.values())

    def fail(self, name: str, error: str, *, sure: bool = True) -> None:
        """Note a trial's own error. `sure`: it would come again anywhere."""
        self._runs[name].error, self._runs[name].sure = error, sure

    def end(self, name: str, *, lost: str | None = None) -> None:
        """Note that a trial has stopped. `lost`: why machines could not train it to its end. The
        others go on as far as they do without it, unless as many as MOST_LOST are lost."""
        run = self._running.pop(name)
        if run.over:
            self._end(run)
        elif lost is not None:
            self._lost[name] = lost
            if len(self._lost) >= MOST_LOST:
                self._stop()

    def _stop_if_lost(self, *, elsewhere: bool) -> None:
        """Stop where all that is left waits for trials that were lost. `elsewhere`: another process
        trains what is wanted."""
        if self._lost and not self._running and not elsewhere:
            self._stop()

    def _stop(self) -> None:
        name, why = next(iter(self._lost.items()))
        others = f" (and {len(self._lost) - 1} more)" if len(self._lost) > 1 else ""
        self.stopped = f"{name}{others} could not be trained: {why}"

    def _next(self) -> Config | None:
        running = sum(_is_searched(run.config) for run in self._running.values())
        config = self.searched.next(running) or self._controls.next()
        if config is not None:
            return config
        self._confirm()
        return self._retrainings.pop(0) if self._retrainings else None

    def _start(self, config: Config) -> Run:
        if _is_searched(config):
            run = self.searched.start(config)
        elif config["phase"] == "search":
            run = self._controls.start(config)
        else:
            ladder = Ladder(Everyone())
            run = Run(config, ladder, ladder.add(), self._study.train.epochs)
        self._runs[run.name] = run
        return run

    def _waits_with(self, run: Run, trained: Trained) -> bool:
        """Take over what was trained before. Return whether that may be all of the trial: whether
        it is cut there is not known yet."""
        for metrics in trained.curve[len(run.curve) :]:
            self._add(run, metrics)
        run.error, run.sure = trained.error, trained.sure
        if run.over:
            self._end(run)
        return not run.ended and run.waits

    def _add(self, run: Run, metrics: Metrics) -> None:
        value = float(metrics[self._objective.name])
        run.add(metrics, value if self._objective.mode == "max" else -value)
        for listener in self._listeners:
            listener.reported(run.config, metrics)

    def _end(self, run: Run) -> None:
        if self._memory is not None:
            self._memory.keep(Trained(run.config, run.curve, run.error, run.sure))
        run.end()
        for listener in self._listeners:
            listener.ended(run.record())
        if run.config["phase"] == "confirm":
            assert self._confirming is not None
            self._confirming.ended(run.record())
            self._tell_settled(run)
        self._settle()

    def _settle(self) -> None:
        for run in (*self.searched.settle(), *self._controls.settle()):
            self._tell_settled(run)

    def _tell_settled(self, run: Run) -> None:
        for listener in self._listeners:
            listener.settled(run.record())

    # Confirmation

    def _has_searched(self) -> bool:
        return self.searched.settled and self._controls.settled

    def _confirm(self) -> None:
        """Queue what is retrained, as soon as it is known."""
        if self._confirming is None or self._retrainings:
            return
        if not self._controls_chosen and self._controls.settled:
            self._controls_chosen = True
            self._retrain(self._confirming.add(best_controls(self._outcomes())))
        if not self._best_chosen and self._has_searched():
            self._best_chosen = True
            best = best_searched(self._study, self._outcomes())
            self._retrain(self._confirming.add(best))
        elif self._best_chosen and not (self._running or self._aside or self._lost):
            self._retrain(self._confirming.further())

    def _outcomes(self) -> list[Outcome]:
        """Return the trials of the search that are known to have run to their ends."""
        settled = [run.record() for run in self._runs.values() if run.settled]
        return outcomes_of(settled, self._objective)

    def _retrain(self, suggestions: list[Config]) -> None:
        self._retrainings += grouped(suggestions, self._study, self._scope)


def _is_searched(config: Config) -> bool:
    return config["phase"] == "search" and config["control"] is None
