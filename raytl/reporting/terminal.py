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
    from raytl.sweeping.ranking import Ranked

MOST_ROWS = 15
MOST_STORED = 40
MEGABYTE = 10**6
LONGEST_ERROR = 200


def leaderboard_table(leaderboard: dict[str, Any]) -> Table:
    """Return the best rows, every control, and what failed and why."""
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
    shown = [r for i, r in enumerate(rows) if i < MOST_ROWS or r["control"] or r["error"]]
    for row in shown:
        table.add_row(*(Text(cell) for cell in _cells(row)), style="dim" if row["control"] else "")
    if len(shown) < len(rows):
        table.caption = f"{len(rows) - len(shown)} more in leaderboard.csv"
    return table


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


def _cells(row: dict[str, Any]) -> list[str]:
    config = row["config"]
    return [
        row["trial"],
        config["recipe"],
        config["source_model"],
        str(config.get("frozen_blocks", config["frozen_depth"])),
        config["mapper"],
        f"{config['optimizer.lr']:.2g}",
        "–" if row["objective"] is None else figure(row["objective"]),
        _status(row),
    ]


def _status(row: dict[str, Any]) -> str:
    if row["error"]:
        log = f" ({row['log']})" if row["log"] else ""
        return f"failed: {row['error'][:LONGEST_ERROR]}{log}"
    if row["status"] == "completed":
        return "control" if row["control"] else "completed"
    return f"stopped at {row['epochs']}" if row["status"] == "stopped early" else row["status"]
