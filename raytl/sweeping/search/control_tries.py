"""The tries of each control, at several learning rates; where all fail, further ones."""

from collections.abc import Sequence

from raytl.config import Study, TrialConfig
from raytl.sweeping.kept.records import Config
from raytl.sweeping.search.controls import lower_tries
from raytl.sweeping.search.halving import Everyone, Ladder, Tries
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.runs import Run, suggestion


class ControlTries:
    """Those of all controls, each numbered by itself."""

    def __init__(self, study: Study, controls: Sequence[tuple[str, TrialConfig]]) -> None:
        self._study = study
        self._most = study.search.control_tries  # of each control, before any is tried again
        self._tries: dict[str, list[TrialConfig]] = {}
        self._runs: dict[str, list[Run]] = {}
        self._ladders: dict[str, Ladder] = {}
        self._queue: list[Config] = []
        self._settled: set[str] = set()
        for control, trial in controls:
            self._add(control, trial)

    @property
    def count(self) -> int:
        """How many there are so far."""
        return sum(map(len, self._tries.values()))

    @property
    def settled(self) -> bool:
        """Whether it is known of every control what counts."""
        return len(self._settled) == len(self._tries)

    def next(self) -> Config | None:
        """Return the next try; None while there is none."""
        return self._queue.pop(0) if self._queue else None

    def start(self, config: Config) -> Run:
        """Give a suggested try its place among those of its control. To be called in their
        order."""
        ladder = self._ladders[config["control"]]
        run = Run(config, ladder, ladder.add(), self._study.train.epochs)
        self._runs[config["control"]].append(run)
        return run

    def settle(self) -> list[Run]:
        """Return the tries of the controls that have been settled since the last call. Where none
        of a control's ran to its end, others are queued, if there are such."""
        found = []
        for control in [name for name in self._tries if name not in self._settled]:
            runs = self._runs[control]
            if len(runs) < len(self._tries[control]) or not all(run.settled for run in runs):
                continue
            others = [] if any(run.record().whole for run in runs) else self._others(control)
            for trial in others:
                self._add(control, trial)
            if not others:
                self._settled.add(control)
                found += runs
        return found

    def _others(self, control: str) -> list[TrialConfig]:
        """Return what is tried where no try of a control ran to its end: those that were only cut
        before another one failed; else lower ones."""
        runs, tries = self._runs[control], self._tries[control]
        if len(runs) == self._most:
            cut = [trial for trial, run in zip(tries, runs, strict=True) if run.cut is not None]
            if cut:
                return cut
        return lower_tries(self._study, [t for i, t in enumerate(tries) if t not in tries[:i]])

    def _add(self, control: str, trial: TrialConfig) -> None:
        tries = self._tries.setdefault(control, [])
        self._runs.setdefault(control, [])
        if not tries:
            relative = objective_metric(self._study).relative
            rule = Tries.of(self._study.train.epochs, self._most, relative=relative)
            self._ladders[control] = Ladder(rule)
        elif len(tries) >= self._most:  # compared with nobody: there is none left that did better
            self._ladders[control] = Ladder(Everyone())
        id_ = f"{control}-{len(tries)}"
        tries.append(trial)
        suggested = suggestion(self._study, f"control-{id_}", id_, trial, control=control)
        self._queue.append(suggested)
