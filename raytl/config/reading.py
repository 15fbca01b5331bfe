"""A study file, read and checked: every message has the file, the line, the key and the law."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from raytl.config.study import Study
from raytl.errors import ConfigError


class _StudyLoader(yaml.SafeLoader):
    """A safe loader that reads `1e-3` as the number it is (YAML 1.2), not as a string."""


_StudyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def _lines(
    node: yaml.Node | None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int]]:
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), key.start_mark.line + 1
            for sub, line in _lines(value, (*path, str(key.value))):
                if sub != (*path, str(key.value)):
                    yield sub, line


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
    return f"{text}, got {got!r}" if plain else text


def check_study(
    data: Any, path: Path | None = None, lines: Mapping[tuple[str, ...], int] | None = None
) -> Study:
    """Return the checked study; raises ConfigError that lists up to three places and laws."""
    # The search space's own laws live one layer up, and are checked by `search_space.check_space`.
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'study'}: expected keys and values, got {type(data).__name__}")
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        drop = {"function-before", "function-after", "str", "constrained-int", "literal"}
        texts = []
        for item in error.errors():
            loc = tuple(str(part) for part in item["loc"])
            loc = tuple(p for p in loc if p not in drop and not re.search(r"[\[(]", p))
            texts.append(_place(path, loc, dict(lines or {})) + _message(item))
        more = f"\n… and {len(texts) - 3} more" if len(texts) > 3 else ""
        raise ConfigError("\n".join(texts[:3]) + more) from None


def parse_yaml(text: str) -> Any:
    """Parse YAML safely, with YAML 1.2 floats. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_StudyLoader)


def set_key(data: dict[str, Any], assignment: str) -> None:
    """Apply one `--set key.path=value` in place; the value is read as YAML.

    Keys that themselves hold a dot, as in `space` and `defaults`, are matched whole.
    """
    dotted, equals, text = assignment.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {assignment}: expected key=value, such as search.trials=8")
    parts, node = dotted.split("."), data
    while len(parts) > 1 and parts[0] not in ("space", "defaults"):
        child = node.setdefault(parts.pop(0), {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {assignment}: '{dotted}' goes through a value, not a section")
        node = child
    if len(parts) > 1 and parts[0] in ("space", "defaults"):
        node = node.setdefault(parts.pop(0), {})
    node[".".join(parts)] = parse_yaml(text)


def load_study(path: Path | str, overrides: list[str] | None = None) -> Study:
    """Read and check a study file; `overrides` are `key.path=value` strings.

    Raises ConfigError with the file, the line, the dotted key, the law and the values.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the study: {error.strerror}") from None
    try:
        data = parse_yaml(text)
        lines = dict(_lines(yaml.compose(text, Loader=yaml.SafeLoader))) if data else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a study with keys such as target_domain and space")
    for assignment in overrides or []:
        set_key(data, assignment)
    return check_study(data, path, lines)


def dump_study(study: Study) -> str:
    """Return the study as resolved, as YAML that `load_study` reads back to an equal study."""
    return yaml.safe_dump(
        study.model_dump(mode="json", by_alias=True, exclude_none=True),
        sort_keys=False,
        allow_unicode=True,
    )
