"""Progress of a phase of trials: a live line on a terminal, one plain line a trial elsewhere."""

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raytl.sweeping.leaderboard import error_text
from raytl.sweeping.objective import ObjectiveMetric
from raytl.sweeping.selection import folder_name
from raytl.training.prefix_cache import progress as prefix_progress

LONGEST_CAUSE = 300  # letters


class ProgressCallback(Callback):
    """Counts finished trials of each phase and shows each one's result and the best so far."""

    def __init__(self, objective: ObjectiveMetric, plan: str, run: Path) -> None:
        """`plan`: the resource plan in words. `run`: the run's folder."""
        self.objective, self.plan, self.run = objective, plan, run
        self.done: dict[str, int] = {}
        self.best: float | None = None
        self._told_of_prefix = False
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
            console=Console(stderr=True, emoji=False),
            transient=True,
        )
        says = f"trials are selected by {self.objective.label}, {self.objective.mode} is best"
        for text in (self.plan, says):
            self._say(text)
        if self._progress.console.is_terminal:
            self._progress.start()
        self._task = self._progress.add_task("search", total=None, note="starting")

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Show prefix features that are being computed on this machine."""
        done, total = prefix_progress()
        if total and self._progress is not None:
            if not self._told_of_prefix:
                self._progress.console.print("computing prefix features", highlight=False)
            self._told_of_prefix = True
            self._progress.update(self._task, note=f"prefix features: {done}/{total} chunks")

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        value = (trial.last_result or {}).get(self.objective.name)
        if value is not None and trial.config["control"] is None:
            better = self.best is None or self.objective.better(value, self.best)
            self.best = value if better else self.best
        self._show(trial, "no result" if value is None else f"{value:.4f}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say what a trial failed of in one line; its traceback stands in the trial's folder."""
        folder = folder_name(trial)
        self._show(trial, "failed")
        cause = error_text(Path(trial.error_file)) if trial.error_file else "no error was kept"
        log = self.run / folder / "error.txt"
        self._say(f"  {folder} failed: {cause[:LONGEST_CAUSE]} (log: {log})", style="red")

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say that a trial goes on after its process or node was lost."""
        epochs = (trial.last_result or {}).get("training_iteration", 0)
        self._say(f"  {folder_name(trial)} lost its process; goes on after epoch {epochs}")

    def _say(self, text: str, **options: Any) -> None:
        assert self._progress is not None
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True, **options)

    def _show(self, trial: Trial, outcome: str) -> None:
        phase, count = trial.config["phase"], trial.config["count"]
        self.done[phase] = self.done.get(phase, 0) + 1
        config = trial.config["trial"]
        result = trial.last_result or {}
        epochs, frozen = result.get("training_iteration", 0), result.get("frozen_blocks", "?")
        line = (
            f"{time.strftime('%H:%M:%S')} {phase} {self.done[phase]}/{count}  {folder_name(trial)}:"
            f" {config['recipe']} from {config['source_model']}, {frozen} blocks frozen, "
            f"mapper {config['mapper']}: {self.objective.label} {outcome} after epoch {epochs}"
        )
        parts = result.get("train/micro_batches")
        if parts:
            line += f" (memory ran out: batches in {parts} parts)"
        self._say(line)
        assert self._progress is not None
        best = "" if self.best is None else f"best {self.best:.4f}"
        self._progress.update(
            self._task, description=phase, total=count, completed=self.done[phase], note=best
        )

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        if self._progress is not None:
            self._progress.stop()
