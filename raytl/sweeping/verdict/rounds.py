"""Confirmation in rounds: more seeds only while the verdict is not decided.

The first round retrains every candidate and control with the fewest seeds. By their validation
objective one candidate is selected, once and for all; only then are test predictions compared. A
comparison that is decided at its look gets no more seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raytl.config import Study
from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS, margin_of
from raytl.sweeping.kept.records import Record
from raytl.sweeping.search.control_facts import WITHOUT_TRANSFER
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.verdict.confirmed import judged
from raytl.sweeping.verdict.decision import Decision, decide, open_comparisons
from raytl.sweeping.verdict.intervals import Difference, paired_difference
from raytl.sweeping.verdict.looks import looks


@dataclass(frozen=True)
class Ended:
    """A retraining that ended: of which configuration, with which seed's index, in which folder,
    and its validation objective, None where it failed."""

    name: str
    control: str | None
    seed: int
    folder: str
    objective: float | None

    @classmethod
    def of(cls, record: Record, study: Study) -> "Ended":
        """Return what became of a retraining."""
        objective = record.last[objective_metric(study).name] if record.whole else None
        config = record.config
        return cls(
            config["candidate"], config["control"], config["seed_index"], record.name, objective
        )


@dataclass(frozen=True)
class Retrained:
    """A configuration as far as it has been retrained: objective and test predictions of each seed
    that ended well, by its index, and the seeds that failed."""

    name: str
    control: str | None
    objectives: Mapping[int, float]
    predictions: Mapping[int, Predictions]
    failed: frozenset[int] = frozenset()

    def has(self, count: int) -> bool:
        """Whether the first `count` seeds ended well."""
        return all(seed in self.predictions for seed in range(count))


def gather(
    ended: Sequence[Ended], read: Callable[[str], Predictions], reads: str
) -> list[Retrained]:
    """Return each configuration with its seeds, searched ones first, then by name. `read` returns
    the predictions in a folder, of which is kept what the metric `reads`."""
    found = []
    for _, name in sorted({(one.control is not None, one.name) for one in ended}):
        seeds = sorted((one for one in ended if one.name == name), key=lambda one: one.seed)
        well = [one for one in seeds if one.objective is not None]
        found.append(
            Retrained(
                name=name,
                control=seeds[0].control,
                objectives={one.seed: one.objective for one in well if one.objective is not None},
                predictions={one.seed: judged(read(one.folder)).only(reads) for one in well},
                failed=frozenset(one.seed for one in seeds) - {one.seed for one in well},
            )
        )
    return found


@dataclass(frozen=True)
class Standing:
    """How a confirmation stands. `against`: the selected candidate's differences to the controls
    that transfer nothing, each as of its last look. `wanted`: how many seeds a configuration should
    have in all, for those that should have more than they have."""

    selected: str | None
    against: Mapping[str, Difference]
    decision: Decision | None
    wanted: Mapping[str, int]


def standing(study: Study, configurations: Sequence[Retrained]) -> Standing:
    """Compare the selected candidate with the controls that transfer nothing."""
    selected = select(study, configurations)
    controls = [
        c for c in configurations if c.control in WITHOUT_TRANSFER and not failed_at_first(study, c)
    ]
    if selected is None or selected.failed or not controls:
        return Standing(None if selected is None else selected.name, {}, None, {})
    against: dict[str, Difference] = {}
    wanted: dict[str, int] = {}
    for control in controls:
        assert control.control is not None
        difference, more = _last_look(study, selected, control)
        if difference is not None:
            against[control.control] = difference
        if more is not None:
            wanted |= {control.name: more, selected.name: more}
    decision = decide(against, margin_between(study, configurations)) if against else None
    settled = decision is not None and decision.kind != "undecided"
    return Standing(selected.name, against, decision, {} if settled else wanted)


def select(study: Study, configurations: Sequence[Retrained]) -> Retrained | None:
    """Return the searched candidate that the validation objective prefers after the first round,
    one without a failed seed before any other."""
    return best_of(study, [c for c in configurations if c.control is None])


def best_of(study: Study, configurations: Sequence[Retrained]) -> Retrained | None:
    """Return the configuration with the best mean validation objective over the seeds of the first
    round, the first of several; one without a failed seed before any other."""
    sign = 1 if objective_metric(study).mode == "max" else -1
    first = range(study.confirm.seed_counts[0])

    def value(configuration: Retrained) -> tuple[bool, float]:
        known = [o for seed, o in configuration.objectives.items() if seed in first]
        mean = sign * sum(known) / len(known)
        return not failed_at_first(study, configuration), -math.inf if math.isnan(mean) else mean

    able = [c for c in configurations if any(seed in first for seed in c.objectives)]
    return max(able, key=value, default=None)


def failed_at_first(study: Study, configuration: Retrained) -> bool:
    """Whether a seed of the first round failed."""
    return any(seed < study.confirm.seed_counts[0] for seed in configuration.failed)


def first_difference(study: Study, ours: Retrained, theirs: Retrained) -> Difference | None:
    """Return the difference over the first round's seeds, for a pair that has no further looks.
    None where a seed is missing."""
    count = study.confirm.seed_counts[0]
    if not (ours.has(count) and theirs.has(count)):
        return None
    return _difference(study, ours, theirs, count, number=1)


def _last_look(
    study: Study, ours: Retrained, theirs: Retrained
) -> tuple[Difference | None, int | None]:
    """Return the difference at the look that decided it, else at the last one there is, and how
    many seeds the next look needs, where there is one."""
    last: Difference | None = None
    counts = looks(*study.confirm.seed_counts)
    for count in counts:
        if not (ours.has(count) and theirs.has(count)):
            failed = any(seed < count for seed in theirs.failed)
            return last, None if failed else count
        last = _difference(study, ours, theirs, count, number=len(counts))
        if not open_comparisons({theirs.name: last}, margin_between(study, [ours])):
            break
    return last, None


def _difference(
    study: Study, ours: Retrained, theirs: Retrained, count: int, *, number: int
) -> Difference:
    """`number`: of looks that share the error rate."""
    ours_S, theirs_S = (
        [configuration.predictions[seed] for seed in range(count)]
        for configuration in (ours, theirs)
    )
    metric = METRICS[study.metric]
    return paired_difference(metric, ours_S, theirs_S, study.confirm.level, looks=number)


def margin_between(study: Study, configurations: Sequence[Retrained]) -> float:
    """Return the difference below which two configurations count as alike, not yet times the
    metric's `scale`. Of errors in the target's unit it is a share of the standard deviation of the
    test rows' targets: those are what the verdict is about, and they are the same for all."""
    metric = METRICS[study.metric]
    if not metric.in_target_unit:
        return margin_of(metric, study.confirm.margin)
    run = next(run for of in configurations for run in of.predictions.values())
    of_targets = (
        run.target_N.std() if metric.spread is None else metric.spread(run.given(metric.reads))
    )
    return margin_of(metric, study.confirm.margin, float(of_targets))


def shown_margin(study: Study, configurations: Sequence[Retrained]) -> float | None:
    """Return that difference as it is shown, in the metric's unit; None where it is in the target's
    and no retraining ended well."""
    metric = METRICS[study.metric]
    if metric.mode == "max":
        return study.confirm.margin
    known = any(of.predictions for of in configurations)
    if metric.in_target_unit and not known:
        return None
    return metric.scale * margin_between(study, configurations)
