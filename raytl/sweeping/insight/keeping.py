"""What is looked at of a decided study, written into its run folder."""

from functools import partial
from pathlib import Path

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.sweeping.insight import previews
from raytl.sweeping.insight.facts import FILE, save_transferred
from raytl.sweeping.insight.finding import confirmed, find_transferred, unconfirmed
from raytl.sweeping.insight.previews import previews_of, save_previews
from raytl.sweeping.insight.telling_rows import telling_rows
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.verdict.confirmed import Confirmation


def keep_insight(
    study: Study,
    run: Path,
    board: Leaderboard,
    confirmation: Confirmation | None,
    *,
    anew: bool,
) -> list[str]:
    """Write transfer.json and rows.json of a study that has ended, `anew` or where they are
    missing; return what could not be found and stands in neither, a sentence each.

    Nothing is raised: a study does not fail for what is only looked at.
    """
    said: list[str] = []
    if anew or not (run / FILE).exists():
        try:
            said += _keep_transferred(study, run, board, confirmation, anew=anew)
        except Exception as error:  # of a full disk, say
            said.append(f"what was transferred: {_reason(error)}")
    if confirmation is not None and (anew or not (run / previews.FILE).exists()):
        try:
            _keep_rows(study, run, confirmation)
        except Exception as error:
            said.append(f"test rows to look at: {_reason(error)}")
    return said


def _reason(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__


def _keep_rows(study: Study, run: Path, confirmation: Confirmation) -> None:
    telling = telling_rows(confirmation, partial(confirmation.predictions_of, run=run))
    if telling is None:
        save_previews({}, run)
        return
    domain = Domain.open(study.target_domain)
    ids = {row.id for row in telling.rows}
    save_previews(previews_of(domain, confirmation.split, ids), run)


def _keep_transferred(
    study: Study, run: Path, board: Leaderboard, confirmation: Confirmation | None, *, anew: bool
) -> list[str]:
    selected = confirmation.selected if confirmation is not None else None
    if selected is not None:
        retrained = confirmed(selected)
    else:
        retrained = unconfirmed(board) if board.unconfirmed else None
    if retrained is None:
        return []
    storage = RunStorage(run, study.resources.storage_path)
    found = find_transferred(study, storage, retrained)
    if not (found.blocks or found.gaps or found.looked or anew):
        return found.notes
    save_transferred(found, run)  # with its notes
    return []
