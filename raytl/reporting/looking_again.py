"""What was transferred, computed for a run that has not kept it."""

from pathlib import Path
from typing import Any

from raytl.config import load_study
from raytl.errors import RaytlError
from raytl.sweeping.insight import previews
from raytl.sweeping.insight.facts import FILE
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.made_with import check_made_with
from raytl.sweeping.verdict.confirmed import Confirmation, load_confirmation


def look_again(run: Path, board: Leaderboard) -> list[str]:
    """Write transfer.json and rows.json of a study that has ended where one is missing, if data
    and weights are at hand; return what could not be found, a sentence each."""
    decided = (run / "confirmation.json").exists()
    wanted = [run / FILE, *([run / previews.FILE] if decided else [])]
    if not (decided or board.unconfirmed) or all(file.exists() for file in wanted):
        return []
    try:
        confirmation = load_confirmation(run) if decided else None
        study = load_study(run / "study.yaml")
        check_made_with(run, study, _looked_at(board, confirmation))
    except (RaytlError, OSError, UnicodeError) as error:
        return [f"what was transferred: {error}"]
    from raytl.sweeping.insight.keeping import keep_insight  # which loads torch

    return keep_insight(study, run, board, confirmation, anew=False)


def _looked_at(board: Leaderboard, confirmation: Confirmation | None) -> dict[str, Any]:
    """Return the configuration of the trial that is looked at, flat; an empty one where none is."""
    looked_at = confirmation.selected if confirmation is not None else board.best_searched
    return {} if looked_at is None else looked_at.config
