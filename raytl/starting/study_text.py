"""The study file with its comments."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from raytl.config.yaml_text import yaml_text
from raytl.starting.candidates import Candidate

WIDTH = 100


@dataclass
class Notes:
    """What the study says in comments: in front of everything, of the target domain, of the source
    models, of keys of the space, of the budget, of the metric."""

    head: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    space: dict[str, str] = field(default_factory=dict)
    budget: list[str] = field(default_factory=list)
    metric: str = ""


def study_text(
    study: Mapping[str, Any],
    models: Sequence[Candidate],
    downloads: Sequence[Candidate],
    notes: Notes,
) -> str:
    """Return the YAML text of a study, as `load_study` reads it."""
    environment = Environment(
        loader=PackageLoader("raytl.starting", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["yaml"] = _flow
    broken = Notes(
        _lines(notes.head), _lines(notes.target), _lines(notes.models), notes.space,
        _lines(notes.budget), _one_line(notes.metric),
    )  # fmt: skip
    return environment.get_template("study.yaml.j2").render(
        study=dict(study), models=models, downloads=downloads, notes=broken, head=broken.head,
        entry=_entry,
    )  # fmt: skip


def _entry(key: str, value: Any, note: str = "", indent: str = "  ") -> str:
    """Return a key with its value, and a comment beside it, or above where the line is long."""
    line = f"{indent}{_flow(key)}: {_flow(value)}"
    if not note:
        return line
    beside = f"{line}  # {note}"
    return beside if len(beside) <= WIDTH else f"{indent}# {note}\n{line}"


def _flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml_text(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _lines(texts: Sequence[str]) -> list[str]:
    """Return comments broken into lines; what comes of files' names and data stays a comment."""
    return [
        line
        for text in texts
        for line in (
            [_one_line(text)]
            if text.startswith("    ")
            else textwrap.wrap(_one_line(text), WIDTH - 2, break_long_words=False) or [""]
        )
    ]


def _one_line(text: str) -> str:
    """Return text without characters that would end a line of a comment, or that YAML refuses."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
