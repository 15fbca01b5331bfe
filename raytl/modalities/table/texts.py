"""A column of strings: numbers, or the names of categories.

Legend: N rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raytl.errors import DataError
from raytl.modalities.table.column import FieldKind

# Compared in small letters, without blanks at the ends
MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "."})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# 007 and 01234 are codes: no program writes a number so
WHOLE = re.compile(r"[+-]?\d+")
CODE = re.compile(r"[+-]?0\d.*")
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}( .*)?")
WITH_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+|[+-]?\d{1,3}(,\d{3})+(\.\d+)?")  # 1,5 or 1,234.5
# With more different numbers than these, a column with a word among them is one of numbers
FEW_NUMBERS = 20


@dataclass(frozen=True)
class Texts:
    """A column as it was read: `numbers` float64 (N,), NaN where one is missing, or `words`, None
    where one is missing."""

    numbers: np.ndarray | None = None
    words: Sequence[str | None] = field(default_factory=list)


def read_texts(name: str, texts: Sequence[str | None], override: FieldKind | None = None) -> Texts:
    """Read a column of strings: numbers where all are, else categories; `override` says which.

    Raises DataError for dates, and for words in a column of numbers: one that is said to be, or
    has more than 20 different numbers, which make up most of what is there.
    """
    words = [_word(text) for text in texts]
    there = {word for word in words if word is not None}
    odd = {word for word in there if not NUMBER.fullmatch(word)}
    if override is None:
        _refuse_dates(name, words, there)
        _refuse_commas(name, words, there)
        codes = any(CODE.fullmatch(word) for word in there)
        mixed = len(there) - len(odd) > max(FEW_NUMBERS, len(odd))
        override = "category" if codes or (odd and not mixed) else "number"
    if override == "category":
        plain = not odd and not any(CODE.fullmatch(word) for word in there)
        return Texts(words=[_plain(word) for word in words] if plain else words)
    if odd:
        row, word = next((i, word) for i, word in enumerate(words) if word in odd)
        raise DataError(
            f"column '{name}' has numbers, but row {row} has '{word[:40]}'; leave that empty if it "
            "means missing, or say that the column is a category"
        )
    return Texts(numbers=np.array([np.nan if word is None else float(word) for word in words]))


def _word(text: str | None) -> str | None:
    word = None if text is None else text.strip()
    return None if word is None or word.lower() in MISSING else word


def _plain(word: str | None) -> str | None:
    return None if word is None else spelled(int(word) if WHOLE.fullmatch(word) else float(word))


def spelled(number: int | float) -> str:
    """Return a number's name as a category: "1" for 1, "1.0" and 1.0."""
    return str(number).removesuffix(".0")


def _refuse_commas(name: str, words: Sequence[str | None], there: set[str]) -> None:
    of_commas = {word for word in there if WITH_COMMA.fullmatch(word)}
    if of_commas and all(word in of_commas or NUMBER.fullmatch(word) for word in there):
        row, word = next((i, word) for i, word in enumerate(words) if word in of_commas)
        raise DataError(
            f"column '{name}' has numbers with a comma, such as '{word[:40]}' in row {row}; write "
            "them with a point alone (1.5, 1234.5), or say that the column is a category"
        )


def _refuse_dates(name: str, words: Sequence[str | None], there: set[str]) -> None:
    if there and all(DATE.fullmatch(word) for word in there):
        row, word = next((i, word) for i, word in enumerate(words) if word is not None)
        raise DataError(
            f"column '{name}' has dates or times, such as '{word}' in row {row}; make numbers of "
            "them (days since a day, hour of the day, month), leave the column out, or say that it "
            "is a category"
        )
