"""What a terminal shows while trials run: a table that is drawn again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raytl.sweeping.time_left import CONFIRM, Phase, duration, left_text, searches, seconds_left

MOST_ROWS = 8  # of trials that are trained or wait
BAR_WIDTH = 30  # columns


@dataclass(frozen=True)
class Shown:
    """A trial that is trained or waits. `does`: its configuration in words; `value`: of the
    objective after `epoch` of `epochs`. `since`: when its process began with it, None while it
    waits; `waits`: what for."""

    name: str
    phase: str
    does: str
    epoch: int
    epochs: int
    value: str = ""
    since: float | None = None
    waits: str = ""


@dataclass(frozen=True)
class State:
    """All that the table shows. `started`: when trials began; `further`: whether more rounds of
    confirmation may come; `ended`: the last trials that have; `note`: what goes on besides
    trials. Times are those of `time.monotonic`."""

    study: str
    objective: str
    started: float
    slots: int
    phases: Mapping[str, Phase] = field(default_factory=dict)
    best: str = ""
    trials: Sequence[Shown] = ()
    ended: Sequence[Shown] = ()
    cluster: str = ""
    further: bool = False
    note: str = ""


def live_table(state: State, now: float) -> RenderableType:
    """Return the table of a state at the time `now`. Its words are no markup of rich."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True, style="bold")
    facts.add_column(no_wrap=True, overflow="ellipsis")
    for name, phase in state.phases.items():
        facts.add_row(name, _bar(name, phase, state))
    passed = duration(now - state.started)
    facts.add_row("best", Text(state.best or "no searched trial has ended yet"))
    facts.add_row("time", f"{passed} so far; left: {_left(state, now)}")
    facts.add_row("cluster", Text(state.cluster))
    if state.note:
        facts.add_row("", Text(state.note))
    title = Text(f"{state.study}: by {state.objective}", "bold", no_wrap=True, overflow="ellipsis")
    return Group(title, facts, _trials(state, now))


def _bar(name: str, phase: Phase, state: State) -> RenderableType:
    if not phase.of:
        return Text("after the search" if name == CONFIRM else "none", style="dim")
    bar = ProgressBar(total=phase.of, completed=phase.done, width=BAR_WIDTH)
    line = Table.grid(padding=(0, 1))
    later = name == CONFIRM and (state.further or searches(state.phases))
    line.add_row(bar, f"{phase.done}/{phase.of}{' so far' if later else ''}")
    return line


def _left(state: State, now: float) -> str:
    begun = [(t.phase, now - t.since) for t in state.trials if t.since is not None]
    waiting = any(trial.waits for trial in state.trials)
    slots = max(1, len(begun)) if waiting else state.slots
    seconds = seconds_left(state.phases, begun, slots)
    return left_text(state.phases, seconds, further=state.further)


def _trials(state: State, now: float) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    if state.trials or state.ended:
        table.add_row("", "epoch", "value", "s", "", style="dim")
    for trial in state.trials[:MOST_ROWS]:
        seconds = "" if trial.since is None else f"{now - trial.since:.0f}"
        waits = Text(f"waits {trial.waits}", style="yellow")
        _add(table, trial, seconds, waits if trial.waits else Text(trial.does))
    if len(state.trials) > MOST_ROWS:
        table.add_row(f"and {len(state.trials) - MOST_ROWS} more", style="dim")
    for trial in state.ended:
        _add(table, trial, "", Text(trial.does), style="dim")
    return table


def _add(table: Table, trial: Shown, seconds: str, does: Text, style: str = "") -> None:
    epochs = f"{trial.epoch}/{trial.epochs}"
    table.add_row(Text(trial.name), epochs, trial.value, seconds, does, style=style)
