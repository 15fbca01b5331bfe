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


def in_order(words: Sequence[str], place: Callable[[int], str]) -> np.ndarray:
    """Return what sorts as the times do that words name (N,): numbers, or dates and times as ISO
    8601 writes them (2020-01-31, 2020-01-31T13:00+01:00; / is taken for -).

    Raises DataError, with the row's `place`, for what is neither, such as 31/01/2020: as words such
    dates would stand in another order; and where some have a time zone and others have none.
    """
    if all(NUMBER.fullmatch(word) for word in words):
        return np.array(words, dtype=np.float64)
    times = [_time(word, place, row) for row, word in enumerate(words)]
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


def _time(word: str, place: Callable[[int], str], row: int) -> datetime:
    plain = word.replace("/", "-")
    try:
        return datetime.fromisoformat(f"{plain}-01" if MONTH.fullmatch(plain) else plain)
    except ValueError:
        raise DataError(
            f"{place(row)}: a time is a number or as 2020-01-31 or 2020-01-31 13:00, so that it is "
            f"known which comes first, got '{word[:40]}'; write times so, or leave --time out and "
            "the column with --drop where rows stand in their order"
        ) from None
