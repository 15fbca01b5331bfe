"""The leaderboard on a terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

MOST_ROWS = 15


def leaderboard_table(leaderboard: dict[str, Any]) -> Table:
    """Return the best rows, every control, and what failed and why."""
    table = Table(title=f"{leaderboard['study']}: by {leaderboard['objective']['label']}")
    for column in ("#", "trial", "recipe", "source model", "frozen", "mapper", "lr"):
        table.add_column(column, overflow="fold")
    for column in ("objective", "epochs", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("status", overflow="fold")
    rows = leaderboard["trials"]
    shown = [r for i, r in enumerate(rows) if i < MOST_ROWS or r["control"] or r["error"]]
    for row in shown:
        table.add_row(*(Text(cell) for cell in _cells(row)), style="dim" if row["control"] else "")
    if len(shown) < len(rows):
        table.caption = f"{len(rows) - len(shown)} more in leaderboard.csv"
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    config = row["config"]
    status = row["status"] if not row["error"] else f"failed: {row['error'][:120]} ({row['log']})"
    return [
        str(row["rank"] or "–"),
        row["trial"] + (" control" if row["control"] else ""),
        config["recipe"],
        config["source_model"],
        str(config.get("frozen_blocks", config["frozen_depth"])),
        config["mapper"],
        f"{config['optimizer.lr']:.2g}",
        "–" if row["objective"] is None else f"{row['objective']:.4f}",
        str(row["epochs"]),
        f"{row['seconds']:.1f}",
        status,
    ]
