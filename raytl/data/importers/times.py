"""Words that say when: as values that stand in the order of time.

Legend: N rows.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from raytl.errors import DataError
from raytl.modalities.table.texts import NUMBER

MONTH = re.compile(r"\d{4}-\d\d")
MICROSECONDS = "datetime64[us]"
# 2020Q1, 2020-W09, 08:30 and step_07 sort as words where all are of one form, 31-12-2020 does not
COUNTED = re.compile(r"[A-Za-z]*[_-]?\d+(?:(?:[:_-]|-?[QW])\d+)*")
YEAR_LAST = re.compile(r"\d{1,2}-\d{1,2}-\d{2,4}")

Place = Callable[[int], str]


def in_order(words: Sequence[str], place: Place) -> np.ndarray:
    """Return what sorts as the times do that words name (N,): numbers; dates and times as ISO 8601
    writes them (2020-01-31, 2020-01-31T13:00+01:00; / is taken for -); or the words themselves,
    where all are of one form (2020Q1, step_07).

    Raises DataError, with the row's `place`, for what is none of these, such as 31/01/2020, which
    as a word would stand elsewhere; and where some have a time zone and others have none.
    """
    if all(NUMBER.fullmatch(word) for word in words):
        return np.array(words, dtype=np.float64)
    times = [_time(word) for word in words]
    if None not in times:
        return _instants([time for time in times if time is not None], words, place)
    if not _sort_as_words(words):
        row = times.index(None)
        raise DataError(
            f"{place(row)}: a time is a number or as 2020-01-31 or 2020-01-31 13:00, so that it is "
            f"known which comes first, got '{words[row][:40]}'; write times so, or leave --time "
            "out and the column with --drop where rows stand in their order"
        )
    return np.array(words)


def _sort_as_words(words: Sequence[str]) -> bool:
    of_one_form = len({re.sub(r"\d", "0", word) for word in words}) == 1
    counted = COUNTED.fullmatch(words[0]) and not YEAR_LAST.fullmatch(words[0])
    return of_one_form and bool(counted)


def _time(word: str) -> datetime | None:
    plain = word.replace("/", "-")
    try:
        return datetime.fromisoformat(f"{plain}-01" if MONTH.fullmatch(plain) else plain)
    except ValueError:
        return None


def _instants(times: Sequence[datetime], words: Sequence[str], place: Place) -> np.ndarray:
    zoned = [time.tzinfo is not None for time in times]
    if any(zoned) and not all(zoned):
        row = zoned.index(not zoned[0])
        raise DataError(
            f"{place(row)}: all times must have a zone or none, but '{words[row]}' and "
            f"'{words[0]}' stand there"
        )
    if any(zoned):
        times = [time.astimezone(UTC).replace(tzinfo=None) for time in times]
    return np.array(times, dtype=MICROSECONDS)
