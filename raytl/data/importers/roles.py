"""Which column of somebody's table plays which part."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytl.config import nearest
from raytl.data.importers.base import ShardOptions
from raytl.data.schema import ID
from raytl.errors import ConfigError

TABLE = "table"  # the column that all numbers and categories become
MEDIA = ("image", "audio")
IN_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")  # of a pattern: a brace, or a column's name


@dataclass(frozen=True)
class Roles:
    """Names of a table's columns by part; `media`: of image and audio, a column's name or a pattern
    such as {row}.png."""

    target: str
    texts: tuple[str, ...]
    media: dict[str, str]
    fields: tuple[str, ...]  # all that nothing is said of, or that are number or category
    group: str | None
    split: str | None

    def called(self) -> dict[str, str]:
        """Return how the dataset calls the columns for texts, media, target and group."""
        own = [*self.texts, self.target, *([self.group] if self.group else [])]
        names = {name: plain_column(name) for name in own}
        for kind, given in self.media.items():
            names[given] = kind if "{" in given else plain_column(given)
        held = [*names.values(), *([TABLE] if self.fields else [])]
        twice = next((name for name in held if held.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(
                f"two columns of the dataset would be called '{twice}'; rename one in the source"
            )
        return names


def plain_column(name: str) -> str:
    """Return a name as datasets allow it: other characters become _."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "column"
    return f"{plain}_" if plain == ID else plain


def roles_of(columns: Sequence[str], options: ShardOptions, what: str) -> Roles:
    """Return the parts that options give to columns. Raises ConfigError for a column that is not
    there, or that has two parts. `what` has the columns: a file's name."""
    if options.target is None:
        raise ConfigError(f"--target: name the column to be learnt; {what} has {_listed(columns)}")
    media = {kind: g for kind, g in (("image", options.image), ("audio", options.audio)) if g}
    single = {
        "--target": [options.target], "--text": options.text, "--number": options.number,
        "--category": options.category, "--drop": options.drop,
        "--group": [options.group] if options.group else [],
        "--split-column": [options.split_column] if options.split_column else [],
        **{f"--{kind}": [given] for kind, given in media.items() if "{" not in given},
    }  # fmt: skip
    taken: dict[str, str] = {}
    for option, names in single.items():
        for name in names:
            need_column(name, columns, option, what)
            _once(name, option, taken)
    inside = {name for given in media.values() for name in pattern_columns(given)}
    for name in inside:
        need_column(name, columns, "a pattern of paths", what)
    own = {n for n, option in taken.items() if option not in ("--number", "--category")}
    fields = tuple(n for n in columns if n not in own and (n not in inside or n in taken))
    return Roles(options.target, options.text, media, fields, options.group, options.split_column)


def _once(name: str, option: str, taken: dict[str, str]) -> None:
    before = taken.get(name)
    if before is not None:
        law = (
            f"is given twice to {option}" if before == option else f"is both {before} and {option}"
        )
        raise ConfigError(f"column '{name}' {law}; a column has one part")
    taken[name] = option


def need_column(name: str, columns: Sequence[str], option: str, what: str) -> None:
    """Raise ConfigError, with the nearest name, where a column is not there."""
    if name not in columns:
        known = (
            nearest(name, list(columns)) if len(columns) <= 30 else _nearest_of_many(name, columns)
        )
        raise ConfigError(f"{option}: {what} has no column '{name}'; {known}")


def _nearest_of_many(name: str, columns: Sequence[str]) -> str:
    told = nearest(name, list(columns))
    return told if told.startswith("did you mean") else f"known: {_listed(columns)}"


def _listed(columns: Sequence[str]) -> str:
    more = f", … ({len(columns)} in all)" if len(columns) > 12 else ""
    return ", ".join(columns[:12]) + more


def pattern_columns(pattern: str) -> list[str]:
    """Return the columns that a pattern names in braces; ConfigError where it is no such."""
    if "{" not in pattern:
        return []
    if re.search("[{}]", IN_BRACES.sub("", pattern)):
        raise ConfigError(
            f"the pattern '{pattern}' does not hold: name columns in braces, e.g. {{row}}.png; a "
            "brace that names none is written twice"
        )
    return [found[1] for found in IN_BRACES.finditer(pattern) if found[1] is not None]


def filled(pattern: str, words: Mapping[str, str]) -> str:
    """Return a pattern with the words of one row in the place of its columns."""
    return IN_BRACES.sub(lambda of: of[0][0] if of[1] is None else words[of[1]], pattern)
