"""What the commands write to: the result to stdout, all else to stderr."""

import json
import sys
import tempfile
import traceback
from typing import Any

from rich.console import Console

from raytl.errors import is_full, why_not_written

PIPED_WIDTH = 120  # columns where no terminal says how many it has
# Words that come from outside, such as paths, are no markup of rich
out_console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
log_console = Console(stderr=True, markup=False, emoji=False)


def print_json(data: Any) -> None:
    """Write data to stdout, what JSON has not as text."""
    out_console.print_json(json.dumps(data, default=str))


def say_usage(error: Any) -> None:
    """Say in a line what is wrong with the words of a command; without any words, how to use it.

    `error`: typer's, whose class for usage has no public name.
    """
    if len(sys.argv) < 2:
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "raytl"
    text = f"{command}: {' '.join(error.format_message().split())} (see {command} --help)"
    log_console.print(text, style="red", highlight=False, soft_wrap=True)


def unforeseen(error: Exception) -> str:
    """Return what to say of an error that nobody caught: of a full disk the remedy, of others where
    the whole story stands."""
    text = f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, OSError) and is_full(error):
        place = "" if error.filename is None else f"{error.filename}: "
        return (
            f"{place}{why_not_written(error)}; free some of it and give the command again (a sweep "
            "goes on with --resume)"
        )
    try:
        return f"{text} (the whole story: {_log_of(error)})"
    except OSError as of_log:
        return f"{text} (no log of the whole story: {of_log})"


def _log_of(error: Exception) -> str:
    """Write the whole story of an error to a file; return its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="raytl-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return file.name
