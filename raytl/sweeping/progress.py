"""Progress of a phase of trials: a live line on a terminal, one plain line a trial elsewhere."""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raytl.sweeping.objective import ObjectiveMetric


class ProgressCallback(Callback):
    """Counts finished trials and shows each one's result and the best so far."""

    def __init__(self, phase: str, total: int, objective: ObjectiveMetric) -> None:
        self.phase, self.total, self.objective = phase, total, objective
        self.done = 0
        self.best: float | None = None
        self._progress: Progress | None = None
        self._task: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; a live display cannot be.
        return self.__dict__ | {"_progress": None, "_task": None}

    def setup(self, *args: Any, **info: Any) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        if self._progress.console.is_terminal:
            self._progress.start()
        self._task = self._progress.add_task(
            self.phase, total=self.total, completed=self.done, note="starting"
        )

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        value = (trial.last_result or {}).get(self.objective.name)
        if value is not None and trial.config["control"] is None:
            better = self.best is None or self.objective.better(value, self.best)
            self.best = value if better else self.best
        self._show(trial, "no result" if value is None else f"{value:.4f}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._show(trial, "failed")

    def _show(self, trial: Trial, outcome: str) -> None:
        self.done += 1
        config = trial.config["trial"]
        name = trial.config.get("name") or f"trial {trial.config['number']:05d}"
        epochs = (trial.last_result or {}).get("training_iteration", 0)
        line = (
            f"{time.strftime('%H:%M:%S')} {self.phase} {self.done}/{self.total}  {name}: "
            f"{config['recipe']} from {config['source_model']}, frozen {config['frozen_depth']}, "
            f"mapper {config['mapper']}: {self.objective.label} {outcome} after {epochs} epochs"
        )
        assert self._progress is not None
        self._progress.console.print(line, highlight=False, soft_wrap=True)
        best = "" if self.best is None else f"best {self.best:.4f}"
        self._progress.update(self._task, completed=self.done, note=best)

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        if self._progress is not None:
            self._progress.stop()
