"""What a run came to, as `raytl inspect` says it."""

import json
from pathlib import Path
from typing import Any

from raytl.errors import CorruptError

BOARD, CONFIRMATION = "leaderboard.json", "confirmation.json"


def describe_run(run: Path) -> dict[str, Any]:
    """Return what a run folder with a leaderboard holds, ready for JSON. Raises CorruptError where
    it is not as `raytl sweep` writes it."""
    board, confirmation = run / BOARD, run / CONFIRMATION
    try:
        found = json.loads(board.read_text(encoding="utf-8"))
        statuses = [row["status"] for row in found["trials"]]
        facts = {
            "path": str(run),
            "study": found["study"],
            "state": found["state"],
            "objective": found["objective"]["label"],
            "trials": {status: statuses.count(status) for status in sorted(set(statuses))},
            "verdict": found.get("unconfirmed"),
        }
        if confirmation.exists():
            board = confirmation
            text = confirmation.read_text(encoding="utf-8")
            facts["verdict"] = json.loads(text)["verdict"]["sentence"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptError(
            f"{board}: not as `raytl sweep` writes it ({error!r:.100}); "
            "copy the run again, or go on with `raytl sweep … --resume`"
        ) from None
    return facts
