"""What was transferred, computed for a run that has not kept it."""

from pathlib import Path

from raytl.config import load_study
from raytl.errors import RaytlError
from raytl.sweeping.insight import previews
from raytl.sweeping.insight.facts import FILE
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.verdict.confirmed import load_confirmation


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
    except (RaytlError, OSError, UnicodeError) as error:
        return [f"what was transferred: {error}"]
    from raytl.sweeping.insight.keeping import keep_insight  # which loads torch

    return keep_insight(study, run, board, confirmation, anew=False)
