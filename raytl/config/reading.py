"""A study file, read and checked: every message has the file, the line, the key and the law."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytl.config.study import Study
from raytl.config.yaml_text import parse_yaml, read_text, yaml_text
from raytl.errors import ConfigError

MOST_LETTERS = 300  # of one message


def _place(path: Path | None, loc: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> str:
    known = loc
    while known and known not in lines:
        known = known[:-1]
    line = f":{lines[known]}" if known in lines else ""
    where = ".".join(loc)
    return f"{path or 'study'}{line}: {where}: " if where else f"{path or 'study'}{line}: "


def _message(error: Mapping[str, Any]) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    got = error.get("input")
    plain = isinstance(got, str | int | float) and " got " not in text  # a secret, say
    text = f"{text}, got {got!r}" if plain else text
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} …"


KINDS = {"function-before", "function-after", "str", "constrained-int", "literal"}


def _keys(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return a place without pydantic's names of the kinds that a value may be of."""
    parts = [str(part) for part in loc]
    return tuple(part for part in parts if part not in KINDS and not re.search(r"[\[(]", part))


def _any_of(messages: list[str]) -> str:
    """Join what is said of one value that may be of several kinds."""
    first = messages[0].partition(", got ")[0]
    rest = [text.removeprefix("Input should be ") for text in messages[1:]]
    return ", or ".join([first, *rest]) if rest else messages[0]


def check_study(
    data: Any, path: Path | None = None, lines: Mapping[tuple[str, ...], int] | None = None
) -> Study:
    """Return the checked study; raises ConfigError that lists up to three places and laws."""
    # The search space's own laws live one layer up: `search_space.SearchSpace` checks them.
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'study'}: expected keys and values, got {type(data).__name__}")
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        found: dict[tuple[str, ...], list[str]] = {}
        for item in error.errors():
            found.setdefault(_keys(item["loc"]), []).append(_message(item))
        inner = {keys[:n] for keys in found for n in range(len(keys))}
        # What is said of a section whose inside is at fault is of another kind that it might be.
        texts = [
            _place(path, keys, dict(lines or {})) + _any_of(messages)
            for keys, messages in found.items()
            if keys not in inner or not keys
        ]
        more = f"\n… and {len(texts) - 3} more" if len(texts) > 3 else ""
        raise ConfigError("\n".join(texts[:3]) + more) from None


@contextlib.contextmanager
def checked_options(place: str) -> Iterator[None]:
    """Raise ConfigError for the first option that a part of a study, built meanwhile, refuses."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{place}: {option}: {_message(first)}") from None


def set_key(data: dict[str, Any], assignment: str) -> None:
    """Apply one `--set key.path=value` in place; the value is read as YAML.

    Keys that themselves hold a dot, as in `space` and `defaults`, are matched whole.
    """
    dotted, equals, text = assignment.partition("=")
    place = f"--set {assignment[:80]}"
    if not equals or not dotted:
        raise ConfigError(f"{place}: expected key=value, such as search.trials=8")
    parts, node = dotted.split("."), data
    if not all(parts):
        raise ConfigError(f"{place}: a name is empty in '{dotted}'; write search.trials=8")
    sections = min(1 if parts[0] in ("space", "defaults") else len(parts), len(parts) - 1)
    for section in parts[:sections]:
        node = node.setdefault(section, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{place}: '{dotted}' goes through a value, not a section")
    node[".".join(parts[sections:])], _ = parse_yaml(text, place)


def load_study(path: Path | str, overrides: list[str] | None = None) -> Study:
    """Read and check a study file; `overrides` are `key.path=value` strings.

    Raises ConfigError with the file, the line, the dotted key, the law and the values.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(
            f"study: a study file was expected, got {type(path).__name__}; give its path, or a "
            "checked study, Study.model_validate(…)"
        )
    path = Path(path)
    data, lines = parse_yaml(read_text(path), str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a study with keys such as target_domain and space")
    for assignment in overrides or []:
        set_key(data, assignment)
    return check_study(data, path, lines)


def dump_study(study: Study) -> str:
    """Return the study as resolved, as YAML that `load_study` reads back to an equal study."""
    return yaml_text(study.model_dump(mode="json", by_alias=True, exclude_none=True))
