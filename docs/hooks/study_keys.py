"""The keys of a study file, made of its pydantic models and the comments beside their fields."""

import inspect
import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from commands import escaped, table
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from raytl.config import Study, TrialConfig
from raytl.config.base import Location

FIELD = re.compile(r"^    (\w+): ")
COMMENT = re.compile(r"^    # (.*)$")
NAMES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    Any: "anything",
}
Keys = dict[type[BaseModel], str]
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def study() -> str:
    """Return a section for each part of a study file."""
    return "\n\n".join(_sections(Study, "The study"))


def trial() -> str:
    """Return a section for each part of a trial: the keys of `defaults` and `space`."""
    return "\n\n".join(_sections(TrialConfig, "A trial"))


def _sections(model: type[BaseModel], title: str) -> list[str]:
    """Return a section for the model and for each model inside it, in the order of their keys."""
    keys = _keys(model)
    parts = [f"## {title}", *_section(model, keys)]
    for inner, key in keys.items():
        parts += [f"## `{key}`", *_section(inner, keys)]
    return parts


def _keys(model: type[BaseModel], found: Keys | None = None) -> Keys:
    """Return the models inside a model, at any depth, by the key under which each comes first."""
    found = {} if found is None else found
    for name, field in model.model_fields.items():
        for inner in _models(_whole(field)):
            if inner not in found:
                found[inner] = name
                _keys(inner, found)
    return found


def _section(model: type[BaseModel], keys: Keys) -> list[str]:
    said = _said(model)
    rows = [
        (
            f"`{field.alias or name}`",
            _type(_whole(field), keys),
            _default(field),
            escaped(said.get(name, "")),
        )
        for name, field in model.model_fields.items()
    ]
    head = ("key", "what it takes", "default", "")
    return [escaped(inspect.cleandoc(model.__doc__ or "")), table(head, rows)]


def _said(model: type[BaseModel]) -> dict[str, str]:
    """Return what is said of each field, by the class that declares it."""
    said: dict[str, str] = {}
    for declaring in reversed(model.__mro__):
        if declaring.__module__.startswith("raytl."):
            said |= {n: t for n, t in comments(inspect.getsource(declaring)).items() if t}
    return said


def comments(source: str) -> dict[str, str]:
    """Return what a class's source says of each field: in the comment behind it, or above it.

    Lines of comment between two fields are of the one below, unless that has a comment of its own.
    """
    said: dict[str, str] = {}
    above: list[str] = []
    last = ""
    for line in source.splitlines():
        field, comment = FIELD.match(line), COMMENT.match(line)
        if comment:
            above.append(comment[1])
        elif field:
            behind = line.partition("  # ")[2]
            if behind and above and last:
                said[last] = " ".join([said.get(last, ""), *above]).strip()
                above = []
            said[field[1]] = " ".join([*above, behind]).strip()
            above, last = [], field[1]
        elif line.startswith("    ") and line.strip():
            _behind_a_bracket(line, last, said)
    return said


def _behind_a_bracket(line: str, last: str, said: dict[str, str]) -> None:
    """Take the comment behind a field that goes over several lines."""
    behind = line.partition("  # ")[2]
    if last and not said[last] and line.startswith("    ]") and behind:
        said[last] = behind


def _whole(field: Any) -> Any:
    """Return a field's type with the bounds that pydantic has taken off it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _models(kind: Any) -> list[type[BaseModel]]:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return [kind]
    return [model for inner in get_args(kind) for model in _models(inner)]


def _type(kind: Any, keys: Keys) -> str:
    """Return in words what a key takes."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Location:
        return "folder or URL"
    if origin is Annotated:
        return " ".join([_type(inner[0], keys), _bounds(inner[1:])]).strip()
    if origin is Literal:
        return ", ".join(f"`{str(value).lower() if value is True else value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part, keys) for part in inner if part is not types.NoneType)
    if origin is dict:
        return f"mapping to {_type(inner[1], keys)}" if inner[1] is not Any else "mapping"
    if origin is tuple:
        of = [part for part in inner if part is not ...]
        words = ", ".join(_type(part, keys) for part in of)
        return f"\\[{words}{', …' if ... in inner else ''}\\]"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return f"[a section](#{keys[kind]})"
    return NAMES.get(kind, escaped(getattr(kind, "__name__", str(kind))))


def _bounds(of: tuple[Any, ...]) -> str:
    found = []
    for bound in of:
        parts = getattr(bound, "metadata", [bound])  # pydantic's Field, or a bound itself
        for part in parts:
            found += [
                f"{sign} {value:g}"
                for name, sign in SIGNS.items()
                if (value := getattr(part, name, None)) is not None
            ]
    return ", ".join(found)


def _default(field: Any) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "needed" if field.default_factory is None else ""
    if value is None or isinstance(value, BaseModel):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{text}`"
