"""Progress of a study: a live line on a terminal, one plain line a trial elsewhere."""

import contextlib
import time
from collections.abc import Iterator
from math import isnan
from typing import Any

from rich import progress as bars
from rich.console import Console

from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import ERROR_LOG
from raytl.sweeping.search.objective import ObjectiveMetric, figure
from raytl.sweeping.search.searcher import Listener, StudySearch
from raytl.training.cache_entries import progress as prefix_progress

LONGEST_CAUSE = 300  # letters


class Progress(Listener):
    """Counts the trials of each phase that have ended, and shows each one's result and the best so
    far."""

    def __init__(self, objective: ObjectiveMetric, storage: RunStorage) -> None:
        self._objective, self._storage = objective, storage
        self._done: dict[str, int] = {}
        self._best: float | None = None
        self._told_of_prefix = False
        # A notebook gets plain lines, no HTML for each
        self._console = Console(stderr=True, emoji=False, force_jupyter=False)
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("search", total=None, note="starting")
        self._search: StudySearch | None = None

    @contextlib.contextmanager
    def shown(self, search: StudySearch, plan: str) -> Iterator[None]:
        """Show the progress of `search` meanwhile. `plan`: the resource plan in words."""
        self._search = search
        says = f"trials are selected by {self._objective.label}, {self._objective.mode} is best"
        for text in (plan, says):
            self._say(text)
        if self._console.is_terminal:
            self._bar.start()
        try:
            yield
        finally:
            if self._console.is_terminal:
                self._bar.stop()

    def look(self) -> None:
        """Show prefix features that are being computed on this machine."""
        done, total = prefix_progress()
        if total:
            if not self._told_of_prefix:
                self._console.print("computing prefix features", highlight=False)
            self._told_of_prefix = True
            self._bar.update(self._task, note=f"prefix features: {done}/{total} chunks")

    def recovered(self, name: str, cause: str | None) -> None:
        """Say that a trial goes on after its process or node was lost, or after what the cause
        says."""
        met = "lost its process" if cause is None else f"met {cause[:LONGEST_CAUSE]}"
        self._say(f"  {name} {met}; goes on from its last checkpoint")

    def avoided(self, node: str) -> None:
        """Say that trials stay away from a node for a while."""
        self._say(f"  {node}: one trial after another fails there; all stay away for a while")

    def ended(self, record: Record) -> None:
        value = record.last.get(self._objective.name)
        if value is not None and not isnan(value) and record.config["control"] is None:
            better = self._best is None or self._objective.better(value, self._best)
            self._best = value if better else self._best
        outcome = "failed" if record.error else "no result" if value is None else figure(value)
        self._show(record, outcome)
        if record.error:
            log = f"{self._storage.run / record.name / ERROR_LOG}"
            cause = record.error[:LONGEST_CAUSE]
            self._say(f"  {record.name} failed: {cause} (log: {log})", style="red")

    def _say(self, text: str, **options: Any) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True, **options)

    def _show(self, record: Record, outcome: str) -> None:
        assert self._search is not None
        phase = record.config["phase"]
        count = self._search.counts[phase]
        done = self._done[phase] = self._done.get(phase, 0) + 1
        config, frozen = record.config["trial"], record.last.get("frozen_blocks", "?")
        line = (
            f"{time.strftime('%H:%M:%S')} {phase} {done}/{count}  {record.name}: "
            f"{config['recipe']} from {config['source_model']}, {frozen} blocks frozen, "
            f"mapper {config['mapper']}: {self._objective.label} {outcome} after epoch "
            f"{len(record.curve)}"
        )
        parts = record.last.get("train/micro_batches")
        if parts:
            line += f" (memory ran out: batches in {parts} parts)"
        if record.last.get("train/in_float32"):
            line += " (its GPU has no bfloat16: trained in float32)"
        self._say(line)
        best = "" if self._best is None else f"best {figure(self._best)}"
        self._bar.update(self._task, description=phase, total=count, completed=done, note=best)
