"""What file names say of their files: {label}_{group}_{take}.wav."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from raytl.data.importers.class_folders import files_below
from raytl.data.importers.listing import Entry, below, shown
from raytl.data.importers.roles import pattern_columns
from raytl.errors import ConfigError, DataError

FIELD = re.compile(r"[A-Za-z_]\w*")


class Named(NamedTuple):
    """A file and the words of its name, by the pattern's fields."""

    path: Entry
    words: dict[str, str]


def files_by_pattern(root: Entry, pattern: str, skip: bool, skipped: list[str]) -> list[Named]:
    """Return the files below a folder whose names are as the pattern says, sorted. A pattern with a
    / is one of the path below `root`, else of the name alone.

    Raises ConfigError for a pattern without {label}, DataError where none fits, and for a file of
    the pattern's own suffix that does not, unless `skip`: then it is appended to `skipped`, as
    files of other suffixes are.
    """
    if not root.is_dir():
        raise DataError(f"{shown(root)}: no such folder; give one of files")
    expression = _expression(pattern)
    found: list[Named] = []
    for path in files_below(root, set(), skipped):
        told = below(path, root) if "/" in pattern else path.name
        fits = expression.fullmatch(told)
        if fits is not None:
            found.append(Named(path, fits.groupdict()))
        elif path.suffix.lower() != Path(pattern).suffix.lower() or skip:
            skipped.append(f"{shown(path)}: its name is not as --pattern says")
        else:
            raise DataError(
                f"{shown(path)}: its name is not as --pattern '{pattern}' says; rename or "
                "remove it, or give --skip-bad"
            )
    if not found:
        raise DataError(f"{shown(root)}: no file's name is as --pattern '{pattern}' says")
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    names = pattern_columns(pattern)
    if "label" not in names:
        raise ConfigError(
            f"--pattern '{pattern}': it must have a {{label}}, e.g. "
            "{label}_{group}_{take}.wav"
        )
    bad = next((n for n in names if not FIELD.fullmatch(n) or names.count(n) > 1), None)
    if bad is not None:
        raise ConfigError(f"--pattern '{pattern}': '{bad}' must be a word, and stand there once")
    return re.compile("".join(_parts(pattern)))


def _parts(pattern: str) -> Iterator[str]:
    """Yield what a regular expression has for each part; a field is as short as can be."""
    for part in re.split(r"(\{\w+\})", pattern):
        yield f"(?P<{part[1:-1]}>[^/]+?)" if part.startswith("{") else re.escape(part)
