"""Confirmation in looks: after how many seeds the verdict is looked at."""


def looks(fewest: int, most: int) -> tuple[int, ...]:
    """Return the seed counts after which the verdict is looked at, at most two: each further look
    would widen every interval. What a look costs is in `intervals.half_width`."""
    assert 2 <= fewest <= most, f"2 <= fewest <= most must hold, got {fewest} and {most}"
    return (most,) if fewest == most else (fewest, most)
