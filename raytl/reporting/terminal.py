"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from raytl.sweeping.kept.trial_store import Entry, store_folder
from raytl.sweeping.search.objective import figure

if TYPE_CHECKING:
    from raytl.reporting.comparing import Group
    from raytl.sweeping.cleaning import Cleaned
    from raytl.sweeping.ranked import Ranked

MOST_ROWS = 10  # of searched trials
MOST_CONTROLS = 8
MOST_FAILED = 3
MOST_TIES = 3  # trials that are named beside the one that they tie with
MOST_STORED = 40
MEGABYTE = 10**6
LONGEST_ERROR = 200
Row = dict[str, Any]  # of leaderboard.json


def leaderboard_table(leaderboard: dict[str, Any]) -> Table:
    """Return the best searched trials, those with the same objective in one row, the best try of
    each control below, and what failed and why. `leaderboard`: the content of leaderboard.json."""
    table = Table(
        title=f"{leaderboard['study']}: by {leaderboard['objective']['label']}",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for column in ("trial", "recipe", "source model", "frozen", "mapper"):
        table.add_column(column, no_wrap=True)
    for column in ("lr", "objective"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    rows = leaderboard["trials"]
    failed = [row for row in rows if row["error"]]
    searched = _tied([row for row in rows if not row["control"] and not row["error"]])
    controls = _tries([row for row in rows if row["control"] and not row["error"]])
    shown = 0
    for place, (groups, most, style) in enumerate(
        ((searched, MOST_ROWS, ""), (controls, MOST_CONTROLS, "dim"),
         ([[row] for row in failed], MOST_FAILED, "red"))
    ):  # fmt: skip
        if place and groups and table.row_count:
            table.add_row()
        for group in groups[:most]:
            table.add_row(*(Text(cell) for cell in _cells(group)), style=style)
            shown += len(group)
    if shown < len(rows):
        table.caption = f"{len(rows) - shown} more in leaderboard.csv"
    return table


def _tied(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows in groups that a person cannot tell apart by their objective and status."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((_objective(row), _status(row)), []).append(row)
    return list(groups.values())


def _tries(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the tries of each control, the best first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["control"], []).append(row)
    return list(groups.values())


def clean_lines(cleaned: Cleaned, *, dry_run: bool) -> list[str]:
    """Return what was deleted of a run, or would be, and what of it is lost."""
    will = "would free" if dry_run else "freed"
    size, whole = (f"{number / MEGABYTE:.1f} MB" for number in (cleaned.freed, cleaned.bytes))
    if not cleaned.needless:
        return [f"{cleaned.run}: {whole}, nothing that is not needed"]
    lines = [f"{cleaned.run}: {will} {size} of {whole}"]
    for why, (count, number) in cleaned.reasons.items():
        lines.append(f"  {number / MEGABYTE:.1f} MB: {why} ({count})")
    if cleaned.of_earlier:
        lost = "the earlier raytl that wrote this run cannot go on with it then"
    else:
        lost = "nothing is lost: going on, report and export are as before"
    return [*lines, f"  {lost}"]


def store_sentence(entries: Sequence[Entry]) -> str:
    """Return how much the trial store holds, and where."""
    total = sum(entry.bytes for entry in entries)
    return f"{len(entries)} trials, {total / MEGABYTE:.1f} MB in {store_folder()}"


def store_table(entries: Sequence[Entry]) -> Table:
    """Return what the trial store holds, the last used first."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("study", "trial"):
        table.add_column(column, no_wrap=True)
    for column in ("epochs", "MB", "last used"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in entries[:MOST_STORED]:
        used = datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
        size = f"{entry.bytes / MEGABYTE:.2f}"
        cells = (entry.study, entry.trial, str(entry.epochs), size, used)
        table.add_row(*(Text(cell) for cell in cells))
    if len(entries) > MOST_STORED:
        table.caption = f"and {len(entries) - MOST_STORED} more"
    return table


def ranking_table(ranking: list[Ranked]) -> Table:
    """Return each source model's scores, the best by LogME first, and what they cost."""
    known = ranking[0].scores
    scores = [name for name in ("log_me", "h_score", "n_leep", "size") if name in known]
    table = Table(
        title=f"by {ranking[0].rows} labelled target rows; more is better",
        box=None, padding=(0, 2, 0, 0), header_style="bold",
    )  # fmt: skip
    for column in ("source model", *scores, "seconds"):
        table.add_column(column, justify="left" if column == "source model" else "right")
    for ranked in sorted(ranking, key=lambda row: -row.scores["log_me"]):
        values = [f"{ranked.scores[name]:,.4g}" for name in scores[:-1]]
        size = f"{ranked.scores['size']:,.0f}"
        table.add_row(ranked.source_model, *values, size, f"{sum(ranked.seconds.values()):.2f}")
    return table


def comparison_tables(groups: Sequence[Group]) -> list[Table]:
    """Return a table for each group of runs that are judged by the same."""
    tables = []
    for group in groups:
        table = Table(title=group.title, box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("run", "verdict", "score", "difference", "best", "seconds"):
            table.add_column(column, overflow="fold")
        for run in group.runs:
            cells = (run.name, run.kind, run.score, run.difference, run.best, f"{run.seconds:.0f}")
            table.add_row(*(Text(cell) for cell in cells))
        tables.append(table)
    return tables


def _cells(group: Sequence[Row]) -> list[str]:
    row = group[0]
    config = row["config"]
    return [
        row["trial"],
        config["recipe"],
        config["source_model"],
        str(config.get("frozen_blocks", config["frozen_depth"])),
        config["mapper"],
        f"{config['optimizer.lr']:.2g}",
        _objective(row),
        _status(row) + _others(group),
    ]


def _objective(row: Row) -> str:
    return "–" if row["objective"] is None else figure(row["objective"])


def _others(group: Sequence[Row]) -> str:
    """Return in words what else a row stands for."""
    others = [row["trial"] for row in group[1:]]
    if not others:
        return ""
    if group[0]["control"]:
        return f", best of {len(group)} tries"
    more = f" and {len(others) - MOST_TIES} more" if len(others) > MOST_TIES else ""
    return f"; as good: {', '.join(others[:MOST_TIES])}{more}"


def _status(row: Row) -> str:
    if row["error"]:
        log = f" ({row['log']})" if row["log"] else ""
        return f"failed: {' '.join(row['error'].split())[:LONGEST_ERROR]}{log}"
    if row["status"] == "completed":
        return "control" if row["control"] else "completed"
    stopped = f"stopped at {row['epochs']}" if row["status"] == "stopped early" else row["status"]
    return f"control, {stopped}" if row["control"] else stopped
