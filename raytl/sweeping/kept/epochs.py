"""The epochs of a trial, kept in its folder as they come, by the process that trains it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytl.sweeping.kept.trial_folder import Metrics, TrialFolder

SaveFiles = Callable[[Path], None]  # writes a checkpoint's files into a folder


class Epochs:
    """What is done of a trial, and what it comes to."""

    def __init__(self, folder: TrialFolder, config: dict[str, Any], budget: int) -> None:
        """Takes up what the folder holds. `budget`: epochs of the whole trial."""
        self._folder, self._config, self._budget = folder, config, budget
        self.saved = folder.newest()
        self.curve: list[Metrics] = list(self.saved.curve) if self.saved else []
        before = self.curve[-1]["seconds"] if self.curve else 0.0
        self._start = time.perf_counter() - before

    @property
    def done(self) -> bool:
        """Whether nothing is left to train."""
        return len(self.curve) >= self._budget

    def keep(self, metrics: Metrics, save: SaveFiles) -> Metrics:
        """Keep the next epoch's metrics; `save` writes its checkpoint into a folder. Returns the
        metrics with `seconds`, that the trial has taken so far."""
        metrics = metrics | {"seconds": time.perf_counter() - self._start}
        self.curve.append(metrics)
        # Nobody asks for the weights that a trial of the search ends with.
        unwanted = self.done and self._config.get("phase") == "search"
        self._folder.save(self._config, self.curve, None if unwanted else save, last=self.done)
        return metrics
