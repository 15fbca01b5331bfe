"""Controls and the verdict in words."""

from raytl.scoring.metrics import Metric
from raytl.scoring.wording import named, number, unit_of
from raytl.sweeping.search.control_facts import CONTROL_FACTS
from raytl.sweeping.verdict.decision import Decision
from raytl.sweeping.verdict.intervals import Difference


def amount(difference: Difference, metric: Metric) -> str:
    """Return the difference with its interval's half width, in the metric's unit. Errors are said
    to be lower or higher, as less of them is better."""
    value, half = (metric.scale * size for size in (difference.difference, difference.half_width))
    if metric.mode == "max":
        return f"{value:+.1f} ± {half:.1f}{unit_of(metric)}"
    way = "higher" if value < 0 else "lower"
    size, plus_minus = number(abs(value), metric, half), number(half, metric, half)
    return f"{way} by {size} ± {plus_minus}{unit_of(metric)} ({named(metric)})"


def _compared(difference: Difference, metric: Metric, word: str, against: str) -> str:
    """Return the difference from what it is to; `word` goes between where more is better."""
    between = word if metric.mode == "max" else "than with"
    return f"{amount(difference, metric)} {between} {against}"


def verdict_sentence(
    what: str, decision: Decision, controls: int, margin: float, metric: Metric
) -> str:
    """Return the verdict in one sentence. `controls`: how many it is over; `margin`: as shown."""
    against = CONTROL_FACTS[decision.control].words
    over, compared = (
        _compared(decision.difference, metric, word, against) for word in ("over", "against")
    )
    if decision.kind == "helps":
        closest = f", the closest of {controls} controls that transfer nothing"
        return f"{what} helps: {over}{closest if controls > 1 else ''}"
    adjusted = f" (adjusted for {controls} controls)" if decision.adjusted else ""
    if decision.kind == "hurts":
        advice = CONTROL_FACTS[decision.control].advice
        return f"{what} hurts (negative transfer): {compared}{adjusted}; {advice}"
    if decision.kind == "equivalent":
        return f"{what} makes no difference: {compared}, within ± {margin:g}{unit_of(metric)}"
    return f"whether {what} helps is undecided: {compared}{adjusted}; {_what_would(decision)}"


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
    words = CONTROL_FACTS[control].words
    over, against = (_compared(difference, metric, word, words) for word in ("over", "against"))
    low, high = difference.interval
    if low > 0:
        return f"{what} is better than the simpler transfer: {over}"
    if high < 0:
        return f"{what} is worse than the simpler transfer: {against}"
    return f"{what} against the simpler transfer is undecided: {against}"
