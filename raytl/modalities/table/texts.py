"""A column of strings: numbers, or the names of categories.

Legend: N rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any

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
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
# Numbers as people write them, which float() does not read: 1,5 and 1,234.50 and 12% and $9.99
SIGN = r"[$€£¥%]"
WRITTEN = re.compile(
    rf"[+-]?{SIGN}? ?[+-]?(\d+([.,]\d+)?|\d{{1,3}}([,. ']\d{{3}})+([.,]\d+)?) ?{SIGN}?"
)
BOOLEANS = frozenset({"true", "false"})
# With more different numbers than these, a column with a word among them is one of numbers
FEW_NUMBERS = 20


@dataclass(frozen=True)
class Texts:
    """A column as it was read: `numbers` float64 (N,), NaN where one is missing, or `words`, None
    where one is missing."""

    numbers: np.ndarray | None = None
    words: Sequence[str | None] = field(default_factory=list)


def read_texts(name: str, texts: Sequence[str | None], override: FieldKind | None = None) -> Texts:
    """Read a column of strings: numbers where all are, else categories, true and false spelled as
    booleans are; `override` says which.

    Raises DataError for dates, for numbers that are written with commas or signs, and for words in
    a column of numbers: one that is said to be, or has more than 20 different numbers, which make
    up most of what is there.
    """
    words = as_booleans([_word(text) for text in texts])
    there = {word for word in words if word is not None}
    odd = {word for word in there if not is_number(word)}
    if override is None:
        _refuse_dates(name, words, there)
        _refuse_written(name, words)
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


def is_missing(value: Any) -> bool:
    """Whether this is None, NaN, NaT or pandas' NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # NA is neither equal to itself nor different
        return True
    except (ValueError, RuntimeError):  # arrays and tensors
        return False


def is_number(word: str) -> bool:
    """Whether a word is a number, or says that it is infinite, which whoever reads it refuses."""
    return bool(NUMBER.fullmatch(word) or INFINITE.fullmatch(word))


def as_booleans(words: Sequence[str | None]) -> Sequence[str | None]:
    """Return words spelled as booleans are, true and false, where all of them are such."""
    if not all(word is None or word.lower() in BOOLEANS for word in words):
        return words
    return [None if word is None else word.lower() for word in words]


def first_written(words: Sequence[str | None]) -> int | None:
    """Return the first row whose number has commas, blanks or signs, where all words are numbers
    and some are so written."""
    odd = [row for row, word in enumerate(words) if word is not None and not is_number(word)]
    every = all(WRITTEN.fullmatch(words[row] or "") for row in odd)
    return odd[0] if odd and every else None


def _refuse_written(name: str, words: Sequence[str | None]) -> None:
    row = first_written(words)
    if row is not None:
        raise DataError(
            f"column '{name}' has numbers that are not written plainly, such as "
            f"'{words[row]}' in row {row}; write them as 1234.5, or say that it is a category"
        )


def _word(text: str | None) -> str | None:
    word = None if text is None else text.strip()
    return None if word is None or word.lower() in MISSING else word


def _plain(word: str | None) -> str | None:
    return None if word is None else spelled(int(word) if WHOLE.fullmatch(word) else float(word))


def spelled(value: int | float | date | time | timedelta) -> str:
    """Return the name of a number or a time as a category: "1" for 1, "1.0" and 1.0, "2020-01-31"
    for that day and its midnight, which a reader may have made of the day."""
    return str(value).removesuffix(".0").removesuffix(" 00:00:00")


def _refuse_dates(name: str, words: Sequence[str | None], there: set[str]) -> None:
    if there and all(DATE.fullmatch(word) for word in there):
        row, word = next((i, word) for i, word in enumerate(words) if word is not None)
        raise DataError(
            f"column '{name}' has dates or times, such as '{word}' in row {row}; make numbers of "
            "them (days since a day, hour of the day, month), leave the column out, or say that it "
            "is a category"
        )
