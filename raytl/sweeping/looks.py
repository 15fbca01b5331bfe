"""Confirmation in looks: after how many seeds, and at which confidence each."""

import math

_GROWTH = 2.5  # seeds of a look over those of the one before, about


def looks(fewest: int, most: int) -> tuple[int, ...]:
    """Return the seed counts after which the verdict is looked at: (3, 8) for 3 and 8, (3, 8, 20)
    for 3 and 20, one look where both are the same."""
    assert 2 <= fewest <= most, f"2 <= fewest <= most must hold, got {fewest} and {most}"
    if fewest == most:
        return (most,)
    steps = max(1, round(math.log(most / fewest) / math.log(_GROWTH)))
    counts = (fewest * (most / fewest) ** (step / steps) for step in range(steps + 1))
    return tuple(dict.fromkeys(round(count) for count in counts))


def look_level(level: float, look: int, looks: int) -> float:
    """Return the confidence of the interval at `look` (from 0) of `looks`.

    The looks share the error rate 1 - level, so that the interval shown at the look where a
    comparison stops covers at `level` over all of them together (Bonferroni).
    """
    assert 0 <= look < looks, f"look {look} of {looks}"
    return 1 - (1 - level) / looks
