"""YAML read safely: what is too large, too deep, ambiguous or endless is refused with its line."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from raytl.errors import ConfigError

MOST_BYTES = 2**18
MOST_VALUES = 10_000  # with aliases written out
MOST_LEVELS = 50
MOST_DIGITS = 18  # of an integer: it fits 64 bits
# In YAML 1.1 of base 8 or 60, and not in 1.2
TWO_NUMBERS = re.compile(r"[-+]?0[0_]*[1-7]_*[0-7][0-7_]*|.*:.*")
Keys = tuple[str, ...]

# Longest first: UTF-32's mark begins with UTF-16's.
OTHER_ENCODINGS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class _Loader(yaml.SafeLoader):
    """A safe loader that reads `1e-3` as the number it is (YAML 1.2), not as a string."""


class _Dumper(yaml.SafeDumper):
    """Quotes the words that the loader would read as numbers."""


for _one in (_Loader, _Dumper):
    _one.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)$"),
        list("-+0123456789."),
    )


def yaml_text(value: Any, **style: Any) -> str:
    """Return a value as text that `parse_yaml` reads back; `style`: as `yaml.dump` takes it."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **style)


def read_text(path: Path) -> str:
    """Return the text of a study file. Raises ConfigError where it is no file of UTF-8 text."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the study's YAML file")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is no regular file; give the study's YAML file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{str(path)[:200]}: cannot read the study: {reason}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES // 1024} KiB, so it is no study")
    return _decoded(content, path)


def _decoded(content: bytes, path: Path) -> str:
    for mark, name in OTHER_ENCODINGS:
        if content.startswith(mark):
            raise ConfigError(f"{path}: is {name}; save it as UTF-8")
    if b"\0" in content:
        raise ConfigError(f"{path}: is not text: it holds bytes of zero; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not text in UTF-8: byte 0x{content[error.start]:02x} at position "
            f"{error.start}; save it as UTF-8"
        ) from None


def parse_yaml(text: str, place: str) -> tuple[Any, dict[Keys, int]]:
    """Return the value and the line of every key. `place`: the file or option, for errors.

    Raises ConfigError for what is no YAML, for a key that stands twice, a value that holds itself,
    and what is deeper, larger or longer than any study.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader, place)
        if node is not None:
            walk.enter(node, ())
        return node and loader.construct_document(node), walk.lines
    except RecursionError:
        raise ConfigError(f"{place}: {_TOO_DEEP}") from None
    except yaml.YAMLError as error:
        raise ConfigError(_no_yaml(error, place)) from None


_TOO_DEEP = f"nested deeper than {MOST_LEVELS} levels, so it is no study"


def _no_yaml(error: yaml.YAMLError, place: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    if context and "another document" not in problem:
        problem = f"{problem} ({context})"
    if "'\\t'" in problem:
        problem += "; indent with spaces"
    return f"{place}{line}: not valid YAML: {problem}"


class _Walk:
    """Visits every value as a person reads the file: aliases written out."""

    def __init__(self, loader: yaml.SafeLoader, place: str) -> None:
        self.loader, self.place = loader, place
        self.lines: dict[Keys, int] = {}
        self.values = 0
        self.above: list[yaml.Node] = []

    def enter(self, node: yaml.Node, keys: Keys) -> None:
        """Check a value and all below it."""
        self.lines.setdefault(keys, node.start_mark.line + 1)
        self.values += 1
        if self.values > MOST_VALUES:
            raise ConfigError(
                f"{self.place}: its aliases make more than {MOST_VALUES:,} values of it, so it is "
                "no study"
            )
        if len(self.above) > MOST_LEVELS:
            raise self._error(node, (), _TOO_DEEP)
        if any(node is holder for holder in self.above):
            dotted = f"'{'.'.join(keys)}'" if keys else "a value"
            raise self._error(node, (), f"{dotted} holds itself, through an alias")
        self.above.append(node)
        if isinstance(node, yaml.MappingNode):
            self._enter_mapping(node, keys)
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self.enter(child, keys)
        else:
            self._check_scalar(node, keys)
        self.above.pop()

    def _enter_mapping(self, node: yaml.MappingNode, keys: Keys) -> None:
        first: dict[Hashable, int] = {}
        for key, child in node.value:
            plain = isinstance(key, yaml.ScalarNode)  # what is not is refused when constructed
            inner = (*keys, key.value[:100] if plain else "?")
            line = key.start_mark.line + 1
            if plain and not key.tag.endswith(":merge"):
                self._check_scalar(key, inner)
                value = self.loader.construct_object(key)
                if value in first:
                    text = f"'{'.'.join(inner)}' stands here and in line {first[value]}; remove one"
                    raise self._error(key, (), text)
                first[value] = line
            self.lines[inner] = line
            self.enter(child, inner)

    def _check_scalar(self, node: yaml.Node, keys: Keys) -> None:
        digits = len(node.value.lower().lstrip("+-").removeprefix("0x").replace("_", ""))
        if node.tag.endswith(":int") and digits > MOST_DIGITS:
            raise self._error(
                node, keys, f"an integer of {digits} digits; {MOST_DIGITS} are allowed"
            )
        if node.tag.endswith((":int", ":float")) and TWO_NUMBERS.fullmatch(node.value):
            raise self._error(
                node, keys, f"{node.value} is one number in YAML 1.1 and another in 1.2; write it "
                "without leading zeros and colons, or in quotes"
            )  # fmt: skip
        try:
            self.loader.construct_object(node)
        except ValueError as error:  # a date that is none, say
            raise self._error(node, keys, f"{error}, got {node.value[:80]!r}") from None

    def _error(self, node: yaml.Node, keys: Keys, text: str) -> ConfigError:
        dotted = f"{'.'.join(keys)}: " if keys else ""
        return ConfigError(f"{self.place}:{node.start_mark.line + 1}: {dotted}{text}")
