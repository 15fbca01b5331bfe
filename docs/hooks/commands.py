"""The reference of the command line, made of the commands themselves."""

import re
from typing import Any

from typer.main import get_command

from raytl.cli import app

WORDS = {"int": "INTEGER", "float": "NUMBER", "Path": "PATH"}


def reference() -> str:
    """Return a section for each command: how it is called, what it does, what it takes."""
    group: Any = get_command(app)
    return "\n\n".join(_section(name, command) for name, command in group.commands.items())


def _section(name: str, command: Any) -> str:
    given = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(["raytl", name, *map(_place, given), *(["[OPTIONS]"] if options else [])])
    parts = [f"## raytl {name}", f"    {usage}", _text(command.help)]
    if any(p.help for p in given):
        rows = [(f"`{_place(p)}`", _text(p.help)) for p in given]
        parts.append(table(("argument", ""), rows))
    if options:
        rows = [(_flags(p), _text(p.help) + _default(p)) for p in options]
        parts.append(table(("option", ""), rows))
    return "\n\n".join(parts)


def _place(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flags(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    kind = getattr(option.type_descriptor.annotation, "__name__", "text")
    value = "" if option.is_flag else f" {option.metavar or WORDS.get(kind, 'TEXT')}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _default(option: Any) -> str:
    if option.default in (None, False, ()) or option.is_flag or callable(option.default):
        return ""
    return f" Default: `{option.default}`."


def _text(words: str | None) -> str:
    """Return a help text as a line of Markdown."""
    line = re.sub(r"\s+", " ", words or "").strip()
    return escaped(line)


def escaped(line: str) -> str:
    """Return a line with what Markdown would take for its own signs, in a table's cell, too; what
    stands in backticks stays."""
    parts = line.split("`")
    plain = [re.sub(r"([|<*_\[\]])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = plain
    return "`".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
