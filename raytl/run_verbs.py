"""The verbs about runs that have ended. See `raytl.verbs`.

Importing this module loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.errors import UserError
from raytl.files import check_writable

if TYPE_CHECKING:
    from raytl.reporting.comparing import Group
    from raytl.sweeping.cleaning import Cleaned


def report(run: Path | str) -> Path:
    """Write `report.html` of a run again. What was transferred is computed where the run has not
    kept it, and data and weights are at hand.

    Args:
        run: The run's folder.

    Returns:
        The report's path.

    Raises:
        UserError: The folder is no run with a leaderboard.
        CorruptError: Its files are not as they were written.

    Examples:
        >>> print(raytl.report("runs/stripes"))
        runs/stripes/report.html
    """
    if not (Path(run) / "leaderboard.json").exists():
        raise UserError(f"{run}: not a run folder with a leaderboard; run `raytl sweep` first")
    from raytl.sweeping.leaderboard import load_leaderboard

    board = load_leaderboard(Path(run))

    from raytl.reporting.html import write_report
    from raytl.reporting.looking_again import look_again

    return write_report(Path(run), look_again(Path(run), board))


def compare(runs: Sequence[Path | str], out: Path | str = "compare.html") -> list[Group]:
    """Write an HTML page that lays runs side by side.

    Args:
        runs: The runs' folders, two or more.
        out: The page.

    Returns:
        The runs by what they are judged by: metric, data and test split.

    Raises:
        UserError: There are fewer than two, one is given twice or is no run, or `out` cannot be
            written or is a file of a run.
        CorruptError: A run's files are not as they were written.

    Examples:
        >>> from shutil import copytree
        >>> other = copytree("runs/stripes", "runs/again")
        >>> [len(group.runs) for group in raytl.compare(["runs/stripes", "runs/again"])]
        [2]
    """
    from raytl.reporting.comparing import compared, write_comparison

    listed = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    check_writable(Path(out), listed)
    groups = compared(listed)
    write_comparison(groups, Path(out))
    return groups


def clean(run: Path | str, *, force: bool = False, dry_run: bool = False) -> Cleaned:
    """Delete what a run's folder, or what it is kept in behind a URL, holds and nobody needs.

    What is left is all that going on, `raytl report` and `raytl export` need.

    Args:
        run: The run's folder.
        force: Also of a study that has not run to its end; last checkpoints stay.
        dry_run: Delete nothing.

    Returns:
        What goes and why, and how many bytes.

    Raises:
        UserError: The folder holds no run, or one that a process drives or that has not ended.

    Examples:
        >>> raytl.clean("runs/stripes", dry_run=True).run.name
        'stripes'
    """
    from raytl.sweeping.cleaning import clean as delete

    return delete(Path(run), force=force, dry_run=dry_run)
