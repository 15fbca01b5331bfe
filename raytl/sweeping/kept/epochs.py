"""The epochs of a trial, kept in its folder as they come, by the process that trains it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytl.sweeping.kept.records import TRAINED_ON
from raytl.sweeping.kept.trial_folder import Metrics, Saved, TrialFolder

SaveFiles = Callable[[Path], None]  # writes a checkpoint's files into a folder


class Epochs:
    """What is done of a trial, and what it comes to."""

    def __init__(
        self,
        folder: TrialFolder,
        config: dict[str, Any],
        budget: int,
        saved: Saved | None,
        workers: str,
        *,
        share: float = 1.0,
    ) -> None:
        """`budget`: epochs of the whole trial. `saved`: the checkpoint to go on from. `workers`:
        see `records.workers_of`. `share`: of this process's time that is the trial's; less than 1
        where it trains others of its group, and then the one before the last checkpoint is kept for
        those."""
        self._folder, self._budget, self._share = folder, budget, share
        others = saved.config.get(TRAINED_ON, []) if saved else []
        self._config = config | {TRAINED_ON: sorted({*others, workers})}
        self.curve: list[Metrics] = list(saved.curve) if saved else []
        self._before = self.curve[-1]["seconds"] if self.curve else 0.0
        self._start = time.perf_counter()

    @property
    def done(self) -> bool:
        """Whether nothing is left to train."""
        return len(self.curve) >= self._budget

    def keep(self, metrics: Metrics, save: SaveFiles) -> Metrics:
        """Keep the next epoch's metrics; `save` writes its checkpoint into a folder. Returns the
        metrics with `seconds`, that the trial has taken so far."""
        seconds = self._before + self._share * (time.perf_counter() - self._start)
        metrics = metrics | {"seconds": seconds}
        self.curve.append(metrics)
        # Nobody asks for the weights that a trial of the search ends with.
        unwanted = self.done and self._config.get("phase") == "search"
        last = self.done and self._share == 1.0
        self._folder.save(self._config, self.curve, None if unwanted else save, last=last)
        return metrics
