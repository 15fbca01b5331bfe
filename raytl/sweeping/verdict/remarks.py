"""What is to be known before a verdict is believed."""

from collections.abc import Sequence

import numpy as np

from raytl.config import Study
from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS, Metric
from raytl.scoring.wording import score_text
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.control_facts import facts_of
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.selection import dropped_controls, outcomes_of
from raytl.sweeping.verdict.rounds import (
    Retrained,
    Standing,
    best_of,
    failed_at_first,
    first_difference,
)
from raytl.sweeping.verdict.sentences import amount

FEW_GROUPS = 8  # of test rows: fewer say little about others


def remarks_on(
    study: Study, records: Sequence[Record], configurations: Sequence[Retrained], now: Standing
) -> list[str]:
    """Return sentences on controls that were not retrained, failed or are no fair opponents, on
    few groups of test rows, and on what did better than the selected trial."""
    searched = [record for record in records if record.config["phase"] == "search"]
    outcomes = outcomes_of(searched, objective_metric(study))
    remarks = [found.sentence for found in dropped_controls(outcomes)]
    for control in dict.fromkeys(r.config["control"] for r in searched if r.config["control"]):
        if not any(outcome.control == control for outcome in outcomes):
            tried = " at every learning rate that was tried" if facts_of(control).learns else ""
            remarks.append(f"the {control} control failed{tried}")
    for configuration in configurations:
        remarks += _failures(study, configuration, now)
        remarks += _unfair(METRICS[study.metric], configuration)
    remarks += _better(study, configurations, now)
    return remarks + _few_groups(configurations)


def _failures(study: Study, configuration: Retrained, now: Standing) -> list[str]:
    """The selected candidate's own are the verdict's sentence."""
    if not configuration.failed or configuration.name == now.selected:
        return []
    seeds = ", ".join(map(str, sorted(configuration.failed)))
    left_out = " and is left out" if failed_at_first(study, configuration) else ""
    return [f"the {configuration.name} failed with seed {seeds}{left_out}"]


def _unfair(metric: Metric, control: Retrained) -> list[str]:
    runs = list(control.predictions.values())
    guess = _constant_guess(metric, runs[0]) if runs else None
    if control.control in (None, "constant") or guess is None:
        return []
    reached = float(np.mean([metric.plain(run.target_N, run.given(metric.reads)) for run in runs]))
    constant = metric.plain(runs[0].target_N, guess)
    if metric.sign * reached > metric.sign * constant:
        return []
    shown = [score_text(value, metric) for value in (reached, constant)]
    if shown[0].endswith(" %"):
        shown[0] = shown[0].removesuffix(" %")
    return [
        f"the {control.name} is no better than a constant guess ({shown[0]} against {shown[1]}): "
        "better than it says little"
    ]


def _constant_guess(metric: Metric, run: Predictions) -> np.ndarray | None:
    """Return one answer to all test rows, from what they are themselves: their largest class, the
    classes' shares, or the mean value; None where there is no such answer."""
    if metric.all_right is not None:
        return metric.one_answer and metric.one_answer(run.given(metric.reads))
    target_N, rows = run.target_N, len(run.target_N)
    if metric.reads == "values":
        return np.full(rows, target_N.mean())
    if metric.reads == "classes":
        return np.full(rows, np.bincount(target_N).argmax())
    classes = run.given("probabilities").shape[1]
    return np.tile(np.bincount(target_N, minlength=classes) / rows, (rows, 1))


def _few_groups(configurations: Sequence[Retrained]) -> list[str]:
    runs = (run for of in configurations for run in of.predictions.values())
    groups = next((run.group_N for run in runs), None)
    count = 0 if groups is None else len(np.unique(groups))
    if not 0 < count < FEW_GROUPS:
        return []
    return [
        f"the test rows are of {count} groups alone, and this holds for these: what an interval "
        f"says of others it says from {FEW_GROUPS} groups on"
    ]


def _better(study: Study, configurations: Sequence[Retrained], now: Standing) -> list[str]:
    """With target labels validation chooses among all; without, test rows say what did better."""
    ours = next((c for c in configurations if c.name == now.selected), None)
    if ours is None:
        return []
    if study.labelled:
        best = best_of(study, configurations)
        if best is None or best.control is None:
            return []
        return [f"by the validation objective the {best.name} is the best: best/ holds it"]
    remarks = []
    for control in (c for c in configurations if c.control is not None):
        assert control.control is not None
        difference = now.against.get(control.control) or first_difference(study, ours, control)
        if difference is not None and difference.interval[1] < 0:
            points = amount(difference, METRICS[study.metric])
            remarks.append(
                f"the {control.name} did better on the test rows ({ours.name}: {points}); best/ "
                f"holds {ours.name}, `raytl export` takes the control"
            )
    return remarks
