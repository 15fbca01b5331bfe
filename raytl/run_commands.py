"""`raytl report`, `clean` and `compare`: their options, and what they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raytl import verbs
from raytl.terminal import out_console


def report(run: Path) -> None:
    """Write a run's report.html again."""
    out_console.print(str(verbs.report(run)), soft_wrap=True, highlight=False)


def clean(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also of a study that has not run to its end.")
    ] = False,
) -> None:
    """Delete what runs hold and nobody needs: checkpoints of trials that have ended, optimisers."""
    from raytl.reporting.terminal import clean_lines

    found = [verbs.clean(run, force=force, dry_run=True) for run in runs]  # or refuse them all
    for cleaned in found if dry_run else [verbs.clean(run, force=force) for run in runs]:
        for line in clean_lines(cleaned, dry_run=dry_run):
            out_console.print(line, soft_wrap=True, highlight=False)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
) -> None:
    """Lay runs side by side: verdicts, scores, what differs in their studies."""
    groups = verbs.compare(runs, out)
    from raytl.reporting.terminal import comparison_tables

    for table in comparison_tables(groups):
        out_console.print(table)
    out_console.print(str(out), soft_wrap=True, highlight=False)
