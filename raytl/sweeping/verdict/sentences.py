"""Controls and the verdict in words."""

from raytl.sweeping.search.control_facts import CONTROL_FACTS
from raytl.sweeping.verdict.decision import Decision
from raytl.sweeping.verdict.intervals import Difference
from raytl.sweeping.verdict.metrics import Metric


def amount(difference: Difference, metric: Metric) -> str:
    """Return the difference with its interval's half width, in the metric's unit."""
    value, half = (
        metric.scale * number for number in (difference.difference, difference.half_width)
    )
    return f"{value:+.1f} ± {half:.1f} {metric.unit}"


def verdict_sentence(
    what: str, decision: Decision, controls: int, margin: float, metric: Metric
) -> str:
    """Return the verdict in one sentence. `controls`: how many it is over; `margin`: as shown."""
    points = amount(decision.difference, metric)
    against = CONTROL_FACTS[decision.control].words
    if decision.kind == "helps":
        closest = f", the closest of {controls} controls that transfer nothing"
        return f"{what} helps: {points} over {against}{closest if controls > 1 else ''}"
    if decision.kind == "hurts":
        adjusted = f" (adjusted for {controls} controls)" if decision.adjusted else ""
        advice = CONTROL_FACTS[decision.control].advice
        return f"{what} hurts (negative transfer): {points} against {against}{adjusted}; {advice}"
    if decision.kind == "equivalent":
        within = f"within ± {margin:g} {metric.unit}"
        return f"{what} makes no difference: {points} against {against}, {within}"
    adjusted = f" (adjusted for {controls} controls)" if decision.adjusted else ""
    return (
        f"whether {what} helps is undecided: {points} against {against}{adjusted}; "
        f"{_what_would(decision)}"
    )


def _what_would(decision: Decision) -> str:
    difference = decision.difference
    ways = []
    if decision.seeds is not None:
        ways.append(f"{decision.seeds} seeds instead of {difference.n}")
    if decision.rows is not None:
        ways.append(f"{decision.rows:,} test rows instead of {difference.rows:,}")
    if not ways:
        return "neither more seeds nor more test rows alone would decide"
    only = {1: "about ", 2: "either about "}[len(ways)]
    return only + " or ".join(ways) + " would decide"


def plain_sentence(what: str, control: str, difference: Difference, metric: Metric) -> str:
    """Return how the candidate stands against a control that transfers plainly."""
    points, against = amount(difference, metric), CONTROL_FACTS[control].words
    low, high = difference.interval
    if low > 0:
        return f"{what} is better than the simpler transfer: {points} over {against}"
    if high < 0:
        return f"{what} is worse than the simpler transfer: {points} against {against}"
    return f"{what} against the simpler transfer is undecided: {points} against {against}"
