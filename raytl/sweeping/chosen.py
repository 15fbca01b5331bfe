"""What of a finished run is taken further: a confirmed candidate, or the best searched trial of a
run whose test rows have no label, so that nothing could be confirmed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.errors import UserError
from raytl.sweeping.leaderboard import load_leaderboard
from raytl.sweeping.verdict.confirmed import load_confirmation


@dataclass(frozen=True)
class Chosen:
    """`config`: the trial's, flat; `score`: what the run measured of it, by name."""

    name: str
    config: dict[str, Any]
    score: dict[str, float | None]


def chosen_of(run: Path, name: str | None) -> Chosen:
    """Return what `name` calls, what `best/` holds where it is None.

    Raises UserError where the run has not come to its end or has nothing of that name, CorruptError
    where its files do not hold.
    """
    chosen = None if (run / "confirmation.json").exists() else _unconfirmed(run)
    if chosen is None:
        confirmation = load_confirmation(run)
        candidate = confirmation.trained(name)
        return Chosen(candidate.name, candidate.config, confirmation.score_of(candidate))
    if name not in (None, chosen.name):
        raise UserError(
            f"{run}: no candidate '{name}': its test rows have no label, so that none was "
            f"confirmed; there is '{chosen.name}', the best of the search"
        )
    return chosen


def _unconfirmed(run: Path) -> Chosen | None:
    """Return the best searched trial of a run that is complete without a confirmation."""
    board = load_leaderboard(run) if (run / "leaderboard.json").exists() else None
    best = board.best_searched if board is not None else None
    if board is None or best is None or board.unconfirmed is None:
        return None
    score = {board.objective["name"].replace("/", "_"): best.objective}
    return Chosen(f"trial {best.trial}", best.trial_config, score)
