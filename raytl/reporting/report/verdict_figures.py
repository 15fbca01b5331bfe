"""The verdict as intervals, and what more seeds or test rows would decide."""

from typing import Any

from raytl.reporting.report.wording import Wording
from raytl.scoring.metrics import METRICS
from raytl.sweeping.verdict.confirmed import Confirmation
from raytl.sweeping.verdict.decision import Decision, Kind, decide

# What a verdict on one control is called; the page is given these words for its key
KINDS: dict[Kind, str] = {
    "helps": "better", "hurts": "worse", "equivalent": "no difference that counts",
    "undecided": "undecided",
}  # fmt: skip


def intervals_figure(confirmation: Confirmation, wording: Wording) -> dict[str, Any] | None:
    """Return the selected candidate's difference to each control, with its interval."""
    metric, rows = METRICS[confirmation.metric], []
    for comparison in _compared(confirmation):
        difference = comparison.difference
        low, high = (metric.scale * end for end in difference.interval)
        decision = _decided(confirmation, comparison.control)
        half = difference.half_width
        ends = " … ".join(wording.difference(end, half) for end in difference.interval)
        rows.append({
            "name": f"{comparison.control} control", "low": low, "high": high,
            "middle": metric.scale * difference.difference, "kind": decision.kind,
            "tip": f"{comparison.candidate} against the {comparison.control} control\n"
            f"{wording.difference(difference.difference, half)}{wording.unit}, interval {ends}\n"
            f"{KINDS[decision.kind]}; {difference.n} seeds, {difference.rows} test rows"
            + "".join(f"\n{part}" for part in needed(decision)),
        })  # fmt: skip
    label = wording.difference_heading + ("" if metric.mode == "max" else " (right is better)")
    if not rows:
        return None
    return {"rows": rows, "margin": confirmation.margin, "label": label, "words": KINDS}


def undecided(confirmation: Confirmation) -> list[tuple[str, list[str]]]:
    """Return the controls against which nothing is decided, and what would decide."""
    found = []
    for comparison in _compared(confirmation):
        decision = _decided(confirmation, comparison.control)
        if decision.kind == "undecided":
            found.append((comparison.control, needed(decision)))
    return found


def needed(decision: Decision) -> list[str]:
    """Return what would decide an undecided comparison, were the estimates true."""
    if decision.kind != "undecided":
        return []
    difference = decision.difference
    ways = [
        f"about {decision.seeds:,} seeds instead of {difference.n} would decide"
        if decision.seeds is not None else "",
        f"about {decision.rows:,} test rows instead of {difference.rows:,} would decide"
        if decision.rows is not None else "",
    ]  # fmt: skip
    return [way for way in ways if way] or [
        "neither more seeds nor more test rows alone would decide"
    ]


def means_figure(confirmation: Confirmation, wording: Wording) -> dict[str, Any] | None:
    """Return each candidate's mean score, its standard error, and every seed."""
    scale, rows = METRICS[confirmation.metric].scale, []
    for candidate in confirmation.candidates:
        if candidate.mean is None:
            continue
        error = candidate.standard_error or 0.0
        name = candidate.name + (" (selected)" if candidate.selected else "")
        score = wording.score(candidate.mean, confirmation.metric)
        spread = wording.spread(candidate.standard_error, candidate.mean)
        rows.append({
            "name": name, "control": candidate.control, "mean": scale * candidate.mean,
            "error": scale * error,
            "seeds": [scale * run.score for run in candidate.runs if run.score is not None],
            "tip": f"{name}\n{score} ± {spread}, {candidate.n} seeds",
        })  # fmt: skip
    label = f"test {wording.metric}, {wording.axis}"
    return {"rows": rows, "label": label} if rows else None


def _compared(confirmation: Confirmation) -> list[Any]:
    selected = confirmation.selected
    return [
        c for c in confirmation.comparisons if selected is None or c.candidate == selected.name
    ]  # fmt: skip


def _decided(confirmation: Confirmation, control: str) -> Decision:
    margin = (confirmation.margin or 0.0) / METRICS[confirmation.metric].scale
    (difference,) = (c.difference for c in _compared(confirmation) if c.control == control)
    return decide({control: difference}, margin)
