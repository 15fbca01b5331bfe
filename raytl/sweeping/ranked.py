"""What is known of source models that were ranked, and the file that keeps it."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from raytl.errors import CorruptError
from raytl.files import write_atomically


class Ranked(BaseModel):
    """One source model's scores, each the better the higher: those that the target's kind allows.
    `size`: parameters of the backbone, the plain baseline. `seconds`: for the features and, by
    name, each score."""

    model_config = ConfigDict(frozen=True)

    source_model: str
    scores: dict[str, float]
    seconds: dict[str, float]
    rows: int


def order(ranking: list[Ranked], score: str) -> list[str]:
    """Return the source models' names, the most promising first."""
    best_first = sorted(ranking, key=lambda ranked: -ranked.scores[score])
    return [ranked.source_model for ranked in best_first]


def save_ranking(ranking: list[Ranked], file: Path) -> None:
    """Write the ranking as JSON."""
    data = [ranked.model_dump(mode="json") for ranked in ranking]
    write_atomically(file, json.dumps(data, indent=1))


def load_ranking(file: Path) -> list[Ranked]:
    """Read what `save_ranking` wrote. Raises CorruptError where it is not as that writes it."""
    try:
        return TypeAdapter(list[Ranked]).validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{file}: not as `raytl sweep` writes it ({str(error).splitlines()[0][:100]}); remove "
            "it, and the source models are ranked again"
        ) from None
