"""Runs side by side: one page, a table for each set of runs that are judged by the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raytl.errors import CorruptError, UserError
from raytl.files import write_atomically
from raytl.reporting.report.reading import RunFiles
from raytl.reporting.report.rendering import render
from raytl.reporting.report.wording import Wording
from raytl.scoring.metrics import METRICS
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation

NAMES = {"study", "out"}  # settings that say nothing of what was studied
LONGEST = 200  # characters of a setting


@dataclass(frozen=True)
class Compared:
    """A run. `kind` and `sentence`: its verdict, or why there is none; `score`: of the selected
    candidate on the test rows, the mean ± standard error; `difference`: that which the verdict was
    read off, with its interval; `settings`: of its study, by dotted keys."""

    name: str
    kind: str
    sentence: str
    score: str
    difference: str
    best: str
    trials: int
    seconds: float
    settings: Mapping[str, str]
    bars: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Group:
    """Runs with the same metric, data and test split. `differing`: the settings in which they
    differ."""

    title: str
    axis: str
    runs: list[Compared]

    @property
    def differing(self) -> list[str]:
        keys = dict.fromkeys(key for run in self.runs for key in run.settings)
        return [key for key in keys if len({run.settings.get(key) for run in self.runs}) > 1]


def compared(runs: Sequence[Path]) -> list[Group]:
    """Return runs in groups whose scores can be compared, in the order given. Raises UserError for
    fewer than two, one that is given twice or is none, CorruptError where a leaderboard or
    a confirmation is broken."""
    if len(runs) < 2:
        raise UserError(f"compare: two run folders at least must be given, got {len(runs)}")
    twice = next((run for i, run in enumerate(runs) if run.resolve() in
                  [other.resolve() for other in runs[:i]]), None)  # fmt: skip
    if twice is not None:
        raise UserError(f"compare: {twice} is given twice; give each run once")
    groups: dict[tuple[str, ...], list[tuple[str, RunFiles]]] = {}
    for run, name in zip(runs, _names(runs), strict=True):
        if not (run / "leaderboard.json").exists():
            raise UserError(f"{run}: not a run folder with a leaderboard; run `raytl sweep` first")
        found = RunFiles(run)
        if found.confirmation is None and found.notes:  # a report says so, a comparison refuses it
            raise CorruptError(found.notes[0])
        groups.setdefault(_judged_by(found, name), []).append((name, found))
    return [_group(*some) for some in groups.values()]


def write_comparison(groups: Sequence[Group], out: Path) -> None:
    """Write the page."""
    figures: dict[str, Any] = {
        f"means {i}": {"rows": rows, "label": f"test {group.axis}"}
        for i, group in enumerate(groups)
        if (rows := [bar for run in group.runs for bar in run.bars])
    }
    controls = list(dict.fromkeys(b["control"] for f in figures.values() for b in f["rows"]))
    data = {"figures": figures, "controls": [name for name in controls if name]}
    write_atomically(out, render("compare.html.j2", {"groups": groups, "figures": figures}, data))


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the runs' folder names, with as much before them as tells them apart."""
    parts = [run.resolve().parts for run in runs]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(of[-count:]) for of in parts]
        if len(set(names)) == len(names):
            break
    return names


def _judged_by(found: RunFiles, name: str) -> tuple[str, ...]:
    """Return the metric, the target's fingerprint and the test split; a run of which they are not
    known stands alone."""
    environment, confirmation = found.environment, found.confirmation
    data = environment.datasets.get("target") if environment else None
    known = data.fingerprint if data else f"unknown data of {name}"
    split = confirmation.split if confirmation else found.study and (
        found.study.target_domain.splits.test
    )  # fmt: skip
    return found.board.metric, known, str(split)


def _group(*some: tuple[str, RunFiles]) -> Group:
    first = some[0][1]
    wording = Wording(METRICS[first.board.metric])
    data = first.environment.datasets.get("target") if first.environment else None
    where = f"target {Path(data.path).name} ({data.fingerprint[:8]})" if data else "unknown data"
    return Group(
        f"{wording.metric} on {where}",
        f"{wording.metric}, {wording.axis}",
        [_compared(name, found, wording) for name, found in some],
    )


def _compared(name: str, found: RunFiles, wording: Wording) -> Compared:
    confirmation, board = found.confirmation, found.board
    selected = confirmation.selected if confirmation else None
    score = difference = "–"
    bars: list[Mapping[str, Any]] = []
    if confirmation is not None and selected is not None and selected.mean is not None:
        score = _score(confirmation, selected, wording)
        shown = [one for one in (selected, confirmation.best_control) if one is not None]
        bars = [_bar(name, confirmation, one, wording) for one in shown]
    if confirmation is not None and confirmation.verdict.difference is not None:
        of = confirmation.verdict.difference
        ends = " … ".join(wording.difference(end, of.half_width) for end in of.interval)
        difference = f"{wording.difference(of.difference, of.half_width)} ({ends})"
    none = board.unconfirmed or f"no verdict yet ({board.state})"
    return Compared(
        name=name, kind=confirmation.verdict.kind if confirmation else "none",
        sentence=confirmation.verdict.sentence if confirmation else none, score=score,
        difference=difference, best=(confirmation.recommended if confirmation else None) or "–",
        trials=len(board.trials), seconds=board.seconds, settings=_settings(found.study_text),
        bars=bars,
    )  # fmt: skip


def _score(confirmation: Confirmation, one: Candidate, wording: Wording) -> str:
    assert one.mean is not None
    spread = wording.spread(one.standard_error, one.mean)
    return f"{wording.score(one.mean, confirmation.metric)} ± {spread}"


def _bar(
    run: str, confirmation: Confirmation, one: Candidate, wording: Wording
) -> Mapping[str, Any]:
    scale = METRICS[confirmation.metric].scale
    assert one.mean is not None
    return {
        "name": f"{run}: {one.name}", "control": one.control, "mean": scale * one.mean,
        "error": scale * (one.standard_error or 0.0),
        "seeds": [scale * r.score for r in one.runs if r.score is not None],
        "tip": f"{run}\n{one.name}\n{_score(confirmation, one, wording)}, {one.n} seeds",
    }  # fmt: skip


def _settings(study_text: str) -> dict[str, str]:
    """Return a study's settings by dotted keys; nothing where its file cannot be read."""
    try:
        study = yaml.safe_load(study_text)
    except yaml.YAMLError:
        return {}
    found: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, of in value.items():
                walk(of, f"{path}.{key}" if path else str(key))
        elif path not in NAMES:
            found[path] = str(value)[:LONGEST]

    walk(study, "")
    found.pop("", None)
    return found
