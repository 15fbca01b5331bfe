"""The verdict of a candidate against the controls that transfer nothing."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from raytl.sweeping.verdict.intervals import Difference

Kind = Literal["helps", "hurts", "equivalent", "undecided"]
_MOST = 1_000_000  # seeds or rows that a projection looks at


class Decision(BaseModel):
    """A verdict, the control it was read off, and the difference with the interval to show.

    Undecided, `seeds` and `rows` are how many in all would decide with the rows or the seeds
    there are, were the estimates true: None where not even a million alone would.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    control: str
    difference: Difference
    adjusted: bool = False  # whether the interval is wider, for the number of controls
    seeds: int | None = None
    rows: int | None = None


def decide(against: Mapping[str, Difference], margin: float) -> Decision:
    """Return `read_verdict`, and for undecided how many more seeds or rows would decide."""
    decision = read_verdict(against, margin)
    if decision.kind != "undecided":
        return decision
    seeds = max(d.n for d in against.values())
    rows = max(d.rows for d in against.values())

    def decides(n: int, rows: int) -> bool:
        projected = {
            control: d.projected(max(n, d.n), max(rows, d.rows)) for control, d in against.items()
        }
        return read_verdict(projected, margin).kind != "undecided"

    needed = {
        "seeds": _fewest(seeds, lambda n: decides(n, rows)),
        "rows": _fewest(rows, lambda n: decides(seeds, n)),
    }
    return decision.model_copy(update=needed)


def read_verdict(against: Mapping[str, Difference], margin: float) -> Decision:
    """Return the verdict over all of `against`; `margin` is in the differences' own unit.

    hurts: worse than one control, its interval at 1 - (1 - level) / m for m controls below zero;
    helps: better than every control, each interval at its level above zero; equivalent: the
    intervals of those not beaten within ± margin; else undecided. No adjustment where all must
    hold. The difference in the decision has the interval that the verdict was read off: of
    several, the one nearest to saying otherwise.
    """
    assert against and margin >= 0, "one control at least and a margin of zero or more"
    adjusted = {c: d.at(1 - (1 - d.level) / len(against)) for c, d in against.items()}
    worst = min(adjusted, key=lambda c: adjusted[c].interval[1])
    if adjusted[worst].interval[1] < 0:
        return Decision(
            kind="hurts", control=worst, difference=adjusted[worst], adjusted=len(against) > 1
        )
    unbeaten = {c: d for c, d in against.items() if not d.interval[0] > 0}
    undecided = open_comparisons(against, margin)
    if undecided:
        shown = min(undecided, key=lambda c: against[c].interval[0])
        below = against[shown].interval[1] < 0  # but for the number of controls it would hurt
        difference = adjusted[shown] if below else against[shown]
        return Decision(kind="undecided", control=shown, difference=difference, adjusted=below)
    if unbeaten:
        shown = max(unbeaten, key=lambda c: _reach(unbeaten[c]))
        return Decision(kind="equivalent", control=shown, difference=against[shown])
    shown = min(against, key=lambda c: against[c].interval[0])
    return Decision(kind="helps", control=shown, difference=against[shown])


def open_comparisons(against: Mapping[str, Difference], margin: float) -> list[str]:
    """Return the controls whose interval neither lies above zero nor within ± margin: where the
    verdict is undecided, those comparisons need more seeds, the others none."""
    return [c for c, d in against.items() if not (d.interval[0] > 0 or _reach(d) <= margin)]


def _reach(difference: Difference) -> float:
    return max(map(abs, difference.interval))


def _fewest(start: int, decides: Callable[[int], bool]) -> int | None:
    """Return the smallest number from `start` that decides; more never decide less."""
    candidates = range(start, _MOST + 1)
    place = bisect_left(candidates, True, key=decides)
    return candidates[place] if place < len(candidates) else None
