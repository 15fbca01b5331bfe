"""Controls and the verdict in words."""

from dataclasses import dataclass

from raytl.config import Study, TrialConfig
from raytl.recipes import RECIPES
from raytl.scoring.metrics import Metric
from raytl.scoring.wording import named, number, unit_of
from raytl.sweeping.search.control_facts import facts_of
from raytl.sweeping.verdict.decision import Decision
from raytl.sweeping.verdict.intervals import Difference


def amount(difference: Difference, metric: Metric) -> str:
    """Return the difference with its interval's half width, in the metric's unit. Errors are said
    to be lower or higher, as less of them is better."""
    value, half = (metric.scale * size for size in (difference.difference, difference.half_width))
    size, plus_minus = number(abs(value), metric, half), number(half, metric, half)
    if metric.mode == "max":
        return f"{'-' if value < 0 else '+'}{size} ± {plus_minus}{unit_of(metric)}"
    way = "higher" if value < 0 else "lower"
    return f"{way} by {size} ± {plus_minus}{unit_of(metric)} ({named(metric)})"


def _compared(difference: Difference, metric: Metric, word: str, against: str) -> str:
    """Return the difference from what it is to; `word` goes between where more is better."""
    between = word if metric.mode == "max" else "than with"
    return f"{amount(difference, metric)} {between} {against}"


@dataclass(frozen=True)
class Trained:
    """What a candidate is: `words` to call it by, and whether it `transfers` anything."""

    words: str
    transfers: bool = True


def trained_by(study: Study, trial: TrialConfig) -> Trained:
    """Return what a trial is. A fresh network carries nothing over by itself, but its recipe may,
    which learns from the source domain or a teacher."""
    recipe, name = RECIPES[trial.recipe], trial.source_model
    if not (recipe.fresh_backbone or _is_fresh(study, trial)) or recipe.uses_student:
        return Trained(f"transfer from {name} by {trial.recipe}")
    if "source" in recipe.streams(study.labelled, study.source_domain is not None):
        return Trained(f"transfer from the source domain to {name} by {trial.recipe}")
    return Trained(f"training {name} from scratch by {trial.recipe}", transfers=False)


def _is_fresh(study: Study, trial: TrialConfig) -> bool:
    """Whether nothing was learnt before in any of the columns' networks that a trial reads."""
    config = study.source_models[trial.source_model]
    return (config.parts or {}).get(trial.inputs, config).is_fresh


def control_words(control: str, its: TrialConfig, ours: TrialConfig) -> str:
    """Return what a control is called beside a candidate, with its source model where that is
    another one. Trials of the two are given."""
    words = facts_of(control).words
    named = its.source_model in words or not facts_of(control).learns
    if its.source_model == ours.source_model or named:
        return words
    return f"{words} of {its.source_model}"


def verdict_sentence(
    trained: Trained,
    decision: Decision,
    against: str,
    controls: int,
    margin: float,
    metric: Metric,
) -> str:
    """Return the verdict in one sentence. `against`: what the control that decided is called;
    `controls`: how many it is over; `margin`: as shown."""
    what = trained.words
    over, compared = (
        _compared(decision.difference, metric, word, against) for word in ("over", "against")
    )
    if decision.kind == "helps":
        closest = f", the closest of {controls} controls that transfer nothing"
        return f"{what} helps: {over}{closest if controls > 1 else ''}"
    adjusted = f" (adjusted for {controls} controls)" if decision.adjusted else ""
    if decision.kind == "hurts":
        if not trained.transfers:
            return f"{what} hurts: {compared}{adjusted}"
        advice = facts_of(decision.control).advice
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


def plain_sentence(
    what: str, words: str, difference: Difference, metric: Metric, margin: float
) -> str:
    """Return how the candidate stands against a control that transfers plainly, which is called
    `words`; `margin`: as shown."""
    over, against = (_compared(difference, metric, word, words) for word in ("over", "against"))
    low, high = difference.interval
    if low > 0:
        return f"{what} is better than the simpler transfer: {over}"
    if high < 0:
        return f"{what} is worse than the simpler transfer: {against}"
    if metric.scale * max(-low, high) <= margin:
        within = f"within ± {margin:g}{unit_of(metric)}"
        return f"{what} makes no difference to the simpler transfer: {against}, {within}"
    return f"{what} against the simpler transfer is undecided: {against}"
