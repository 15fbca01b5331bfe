"""What a run folder holds, as far as it can be read: what is missing or broken is a note."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from raytl.config import Study, load_study
from raytl.errors import RaytlError
from raytl.predictions import Predictions
from raytl.sweeping.environment_facts import Environment
from raytl.sweeping.insight.facts import Transferred, load_transferred
from raytl.sweeping.insight.previews import Previews, load_previews
from raytl.sweeping.insight.telling_rows import Telling, telling_rows
from raytl.sweeping.leaderboard import load_leaderboard
from raytl.sweeping.ranked import load_ranking
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation, load_confirmation

Read = TypeVar("Read")


class RunFiles:
    """Reads a run folder once. `notes`: what could not be read, a sentence each."""

    def __init__(self, run: Path) -> None:
        """Raises CorruptError where leaderboard.json, without which there is nothing to say, is
        not as `raytl sweep` writes it."""
        self.run = run
        self.notes: list[str] = []
        self.board = load_leaderboard(run)
        self._predictions: dict[str, list[Predictions]] = {}

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """None where there is none."""
        if not (self.run / "confirmation.json").exists():
            return None
        return self._tried(lambda: load_confirmation(self.run))

    @cached_property
    def environment(self) -> Environment | None:
        text = self._text("environment.json")
        return None if text is None else self._tried(lambda: Environment.model_validate_json(text))

    @cached_property
    def study_text(self) -> str:
        return self._text("study.yaml") or ""

    @cached_property
    def study(self) -> Study | None:
        """The study; None where its file is of another version, or its space is a function that
        is not at hand."""
        try:
            return load_study(self.run / "study.yaml")
        except (RaytlError, OSError, UnicodeError):
            return None

    @cached_property
    def transferred(self) -> Transferred | None:
        return self._tried(lambda: load_transferred(self.run))

    @cached_property
    def previews(self) -> Previews:
        return self._tried(lambda: load_previews(self.run)) or {}

    @cached_property
    def telling(self) -> Telling | None:
        confirmation = self.confirmation
        if confirmation is None:
            return None
        return self._tried(lambda: telling_rows(confirmation, self.predictions))

    @cached_property
    def ranking(self) -> list[dict[str, Any]]:
        """The source models' scores before training; nothing where they were not ranked."""
        if not (self.run / "ranking.json").exists():
            return []
        found = self._tried(lambda: load_ranking(self.run / "ranking.json")) or []
        return [ranked.model_dump() for ranked in found]

    def predictions(self, candidate: Candidate) -> list[Predictions]:
        """Return a candidate's predictions of test rows, a seed each; none where they cannot be
        read."""
        if candidate.name in self._predictions:
            return self._predictions[candidate.name]
        assert self.confirmation is not None, "it has the candidate"
        of = self.confirmation
        found = self._tried(lambda: of.predictions_of(candidate, self.run)) or []
        if candidate in (of.selected, of.best_control):  # the others are asked for once
            self._predictions[candidate.name] = found
        return found

    def _text(self, name: str) -> str | None:
        try:
            return (self.run / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            self.notes.append(f"{name} is missing")
        except (OSError, UnicodeError) as error:
            self.notes.append(f"{name} cannot be read: {error}")
        return None

    def _tried(self, read: Callable[[], Read]) -> Read | None:
        try:
            return read()
        except ValidationError as error:
            self.notes.append(f"{error.title}: {error.errors()[0]['msg']}")
        except (RaytlError, ValueError, KeyError, TypeError, IndexError, AssertionError) as error:
            self.notes.append(str(error)[:400] or type(error).__name__)
        return None
