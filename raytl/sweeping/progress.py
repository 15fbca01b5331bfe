"""Progress of a study: a live table on a terminal, one plain line a trial elsewhere."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, isnan
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from raytl.config import Study
from raytl.sweeping.kept.records import Config, Metrics, Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import ERROR_LOG
from raytl.sweeping.live_table import Shown, State, live_table
from raytl.sweeping.on_ray.attempts import Going
from raytl.sweeping.on_ray.resources import Plan, cluster_text
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.fusing import trained_at_once
from raytl.sweeping.search.objective import ObjectiveMetric, figure
from raytl.sweeping.search.searcher import StudySearch
from raytl.sweeping.time_left import CONFIRM, Phase, duration
from raytl.training.cache_entries import progress as prefix_progress

LONGEST_CAUSE = 300  # letters
LAST_ENDED = 3  # trials that the live table still shows
CLUSTER_EVERY_S = 5.0  # how often it is asked what the cluster has
PER_SECOND = 4  # how often the live table is drawn
Nodes = Callable[[], Sequence[Mapping[str, float]]]


class Progress(Listener):
    """Counts the trials of each phase that have ended, and shows each one's result and the best so
    far."""

    def __init__(
        self,
        study: Study,
        objective: ObjectiveMetric,
        storage: RunStorage,
        *,
        console: Console | None = None,
        live: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`live`: whether the table is shown instead of lines; by default where a person looks at a
        terminal. `now`: in seconds."""
        self._study, self._objective, self._storage, self._now = study, objective, storage, now
        # A notebook gets plain lines, no HTML for each
        self._console = console or Console(stderr=True, emoji=False, force_jupyter=False)
        self._is_live = looked_at(self._console) if live is None else live
        self._phases = {name: Phase() for name in ("search", "controls", CONFIRM)}
        self._best: float | None = None
        self._reached: dict[str, tuple[int, str]] = {}  # trial → epochs, the objective after them
        self._since: dict[str, float] = {}  # trial → when its process began with it
        self._ended: deque[Shown] = deque(maxlen=LAST_ENDED)
        self._told_of_prefix = False
        self._search: StudySearch | None = None
        self._nodes: Nodes = list
        self._need, self._asked = "", -inf
        self.state = State(study.study, objective.label, now(), slots=1)

    @contextlib.contextmanager
    def shown(self, search: StudySearch, plan: Plan, nodes: Nodes = list) -> Iterator[None]:
        """Show the progress of `search` meanwhile. `nodes`: what each node of the cluster has."""
        self._search, self._nodes, self._need = search, nodes, plan.need
        self.state = replace(self.state, started=self._now(), slots=plan.concurrent)
        says = f"trials are selected by {self._objective.label}, {self._objective.mode} is best"
        for text in (plan.text, says):
            self._say(text)
        self._count()
        if not self._is_live:
            yield
            return
        with Live(
            console=self._console, get_renderable=self._drawn, refresh_per_second=PER_SECOND,
            transient=True,
        ):  # fmt: skip
            yield

    def _drawn(self) -> RenderableType:
        return live_table(self.state, self._now())  # by another thread: a state is never changed

    def look(self, going: Sequence[Going]) -> None:
        """Show what is trained or waits, and prefix features that are computed on this machine."""
        for of in going:
            if of.since is not None:
                self._since[of.config["name"]] = of.since
        done, total = prefix_progress()
        if total and not self._told_of_prefix and not self._is_live:
            self._say("computing prefix features")
        self._told_of_prefix = self._told_of_prefix or bool(total)
        if not self._is_live:
            return
        if self._now() - self._asked > CLUSTER_EVERY_S:
            self._asked = self._now()
            slots = f"{self.state.slots} trial{'' if self.state.slots == 1 else 's'} at once; "
            self.state = replace(self.state, cluster=slots + cluster_text(self._nodes()))
        note = f"computing prefix features: {done}/{total} chunks" if total else ""
        self.state = replace(self.state, trials=[self._going(of) for of in going], note=note)
        self._count()

    def _going(self, of: Going) -> Shown:
        epoch, value = self._reached.get(of.config["name"], (0, ""))
        waits = "" if of.since is not None else f"for room: {self._need}"
        if of.due is not None:
            waits = f"to be tried again in {duration(max(0.0, of.due - self._now()))}"
        epochs, does = self._study.train.epochs, _does(of.config)
        return Shown(
            of.config["name"], _phase(of.config), does, epoch, epochs, value, of.since, waits
        )

    def recovered(self, name: str, cause: str | None) -> None:
        """Say that a trial goes on after its process or node was lost, or after what the cause
        says."""
        met = "lost its process" if cause is None else f"met {_in_a_line(cause)}"
        self._say(f"  {name} {met}; goes on from its last checkpoint")

    def avoided(self, node: str) -> None:
        """Say that trials stay away from a node for a while."""
        self._say(f"  {node}: one trial after another fails there; all stay away for a while")

    def reported(self, config: Config, metrics: Metrics) -> None:
        value = metrics.get(self._objective.name)
        shown = "" if value is None else figure(value)
        self._reached[config["name"]] = metrics["epoch"], shown

    def ended(self, record: Record) -> None:
        phase, name = _phase(record.config), record.name
        since = self._since.pop(name, None)
        self._reached.pop(name, None)
        before = self._phases[phase]
        seconds = before.seconds
        if since is not None:  # of a group its first member is timed, for all of them
            seconds = (*seconds, (self._now() - since) / trained_at_once(record.config))
        self._phases[phase] = replace(before, done=before.done + 1, seconds=seconds)
        self._count()
        value = record.last.get(self._objective.name)
        best = phase != CONFIRM and record.config["control"] is None and self._is_best(value)
        does = _does(record.config, record.last.get("frozen_blocks"))
        outcome = "failed" if record.error else "no result" if value is None else figure(value)
        if best:
            self.state = replace(self.state, best=f"{outcome}  {name}: {does}")
        self._show(record, outcome, does, best=best)

    def _is_best(self, value: float | None) -> bool:
        if value is None or isnan(value):
            return False
        if self._best is not None and not self._objective.better(value, self._best):
            return False
        self._best = value
        return True

    def _count(self) -> None:
        """Take up how many trials each phase has, as far as it is known by now."""
        assert self._search is not None
        for name, count in self._search.counts.items():
            self._phases[name] = replace(self._phases[name], of=count)
        further = self._search.may_confirm_more
        self.state = replace(self.state, phases=dict(self._phases), further=further)

    def _show(self, record: Record, outcome: str, does: str, *, best: bool) -> None:
        if self._is_live:
            row = Shown(
                record.name, _phase(record.config), does, len(record.curve),
                self._study.train.epochs, outcome,
            )  # fmt: skip
            self._ended.append(row)
            self.state = replace(self.state, ended=tuple(self._ended))
        phase = self._phases[_phase(record.config)]
        line = (
            f"{time.strftime('%H:%M:%S')} {_phase(record.config)} {phase.done}/{phase.of}  "
            f"{record.name} {outcome} after epoch {len(record.curve)}"
        )
        if record.error:
            log = f"{self._storage.run / record.name / ERROR_LOG}"
            self._say(f"{line}: {_in_a_line(record.error)} (log: {log})", style="red")
            return
        notes = [_in_parts(record), "best so far" if best else ""]
        if record.last.get("train/in_float32"):
            notes.append("its GPU has no bfloat16: trained in float32")
        said = "; ".join(note for note in notes if note)
        if not self._is_live:
            self._say(f"{line}: {does}{f' ({said})' if said else ''}")

    def _say(self, text: str, **options: Any) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True, **options)


def looked_at(console: Console) -> bool:
    """Whether a person looks at a console's terminal: colour may be forced where nobody does."""
    here = console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
    return here and not os.environ.get("CI")


def _phase(config: Config) -> str:
    if config["phase"] == CONFIRM:
        return CONFIRM
    return "search" if config["control"] is None else "controls"


def _does(config: Config, frozen: int | None = None) -> str:
    """Return a trial's configuration in few words. `frozen`: blocks, once that is known."""
    trial = config["trial"]
    depth = trial.get("frozen_depth", "?")
    blocks = f"frozen depth {depth}" if frozen is None else f"{frozen} blocks frozen"
    return f"{trial['recipe']} from {trial['source_model']}, {blocks}, mapper {trial['mapper']}"


def _in_parts(record: Record) -> str:
    parts = record.last.get("train/micro_batches")
    return f"memory ran out: batches in {parts} parts" if parts else ""


def _in_a_line(cause: str) -> str:
    return " ".join(cause.split())[:LONGEST_CAUSE]
