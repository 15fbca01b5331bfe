"""The times of a series' steps, out of words.

Legend: M rows of a table.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from raytl.errors import DataError
from raytl.modalities.table.texts import NUMBER

# 31/12/2020, 12/31/2020 and 31.12.20 do not sort as words do
YEAR_LAST = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b.*")
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def times_of(words: Sequence[str], place: Callable[[int], str]) -> np.ndarray:
    """Return what orders steps, (M,): numbers; of dates as ISO 8601 has them microseconds, those
    without a zone taken for UTC; or the words themselves, where all are of one form.

    Raises DataError for other dates, which do not sort as words do, and for dates with and without
    a zone.
    """
    if all(NUMBER.fullmatch(word) for word in words):
        return np.array([float(word) for word in words])
    dates = [_date(word) for word in words]
    if None not in dates:
        return _microseconds([date for date in dates if date is not None], words, place)
    forms = [re.sub(r"\d", "0", word) for word in words]
    odd = next((row for row, form in enumerate(forms) if form != forms[0]), None)
    odd = 0 if odd is None and YEAR_LAST.fullmatch(words[0]) else odd
    if odd is not None:
        raise DataError(
            f"{place(odd)}: the time '{words[odd][:40]}' cannot be ordered; write numbers, or "
            "dates such as 2020-01-31 or 2020-01-31 23:59"
        )
    return np.array(words)


def _date(word: str) -> datetime | None:
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        return None


def _microseconds(
    dates: Sequence[datetime], words: Sequence[str], place: Callable[[int], str]
) -> np.ndarray:
    zoned = [date.tzinfo is not None for date in dates]
    if len(set(zoned)) > 1:
        row = zoned.index(not zoned[0])
        raise DataError(
            f"{place(row)}: the time '{words[row]}' has {'a' if zoned[row] else 'no'} zone, unlike "
            f"'{words[0]}'; give all of them one, or none"
        )
    aware = (date if date.tzinfo is not None else date.replace(tzinfo=UTC) for date in dates)
    passed = (date - BEGINNING for date in aware)
    return np.array([(t.days * 86400 + t.seconds) * 10**6 + t.microseconds for t in passed])
