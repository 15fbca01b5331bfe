"""A study as it grows, and its domains."""

from dataclasses import dataclass, field
from typing import Any

from raytl.starting.asked import Labels
from raytl.starting.candidates import Candidate
from raytl.starting.facts import Facts
from raytl.starting.study_text import Notes

FEW_LABELS = 20  # of a class; fewer are halved between learning and selecting
SMALL, LARGE = 100, 10_000  # rows of the training split
HELD = 2000  # rows that are enough to select by


@dataclass
class Draft:
    """`study`: as YAML will have it."""

    study: dict[str, Any]
    facts: Facts
    source: Facts | None
    labels: Labels
    models: list[Candidate] = field(default_factory=list)
    downloads: list[Candidate] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def begun(cls, name: str, facts: Facts, source: Facts | None, labels: Labels) -> "Draft":
        """Return a study with its domains."""
        study: dict[str, Any] = {"study": name}
        if source is not None:
            study["source_domain"] = {"dataset": source.place} | _several(source)
            if source.parts.train != "train":
                study["source_domain"]["splits"] = {"train": source.parts.train}
        study["target_domain"] = _target_domain(facts, labels)
        return cls(study, facts, source, labels)


def _target_domain(facts: Facts, labels: Labels) -> dict[str, Any]:
    parts = facts.parts
    splits = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    domain: dict[str, Any] = {"dataset": facts.place, "labels": labels}
    domain |= _several(facts) | {"splits": {k: v for k, v in splits.items() if v is not None}}
    if parts.validation is None or isinstance(labels, int):
        domain["validation_fraction"] = _fraction(facts.train_rows, labels)
    return domain


def _several(facts: Facts) -> dict[str, Any]:
    return {"target": facts.target} if len(facts.dataset.targets) > 1 else {}


def _fraction(rows: int, labels: Labels) -> float:
    if isinstance(labels, int):
        return 0.5 if labels < FEW_LABELS else 0.2
    if rows > LARGE:
        return max(0.05, round(HELD / rows, 2))
    return 0.3 if rows < SMALL else 0.2
