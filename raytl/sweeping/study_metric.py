"""What a study is judged by where it leaves that open, and whether the target has it."""

from typing import cast

import numpy as np

from raytl.config import TASK_FACTS, MetricName, Study
from raytl.data.domain import Domain, Domains
from raytl.errors import ConfigError, DataError
from raytl.scoring.choosing import auto_metric, rare_is_possible
from raytl.scoring.metrics import METRICS, Metric
from raytl.tasks.columns import LabelColumn, has_target
from raytl.training.splits import SourceRows, TargetRows, regime

NOT_LOOKED = (
    "the metric is accuracy; whether a class is rare was not looked at, as `labels: N` draws as "
    "many rows of each and no source domain has the same classes: name search.metric where one is"
)


def with_metric(
    study: Study, domains: Domains, target: TargetRows, source: SourceRows | None
) -> Study:
    """Return the study with its metric decided.

    `auto` looks at the labelled training rows that the study may read: the target's, or the source
    domain's where the target has no labels, or as many of each class. Raises ConfigError where the
    target has no such metric.
    """
    if study.search.metric == "auto":
        return study.decided(metric=_chosen(domains, target, source)[0])
    metric, column = METRICS[study.search.metric], domains.target.target_column
    assert column.task is not None
    facts = TASK_FACTS[column.task]
    if metric.name not in facts.metrics:
        able = list(facts.metrics)
        raise ConfigError(
            f"search.metric: {metric.name} is not of {facts.holds}, which the target column "
            f"'{domains.target.target}' holds; use auto, {', '.join(able[:-1])} or {able[-1]}"
        )
    if metric.binary_only and isinstance(column, LabelColumn) and len(column.classes) != 2:
        raise ConfigError(
            f"search.metric: {metric.name} is of two classes, but the target column "
            f"'{domains.target.target}' has {len(column.classes)}; use auto"
        )
    return study


def metric_reason(domains: Domains, target: TargetRows, source: SourceRows | None) -> str | None:
    """Return why `auto` is another metric than the usual one, or that it is the usual one for want
    of a look, where a look might have changed that; else None."""
    return _chosen(domains, target, source)[1]


def _chosen(
    domains: Domains, target: TargetRows, source: SourceRows | None
) -> tuple[MetricName, str | None]:
    column = domains.target.target_column
    if not isinstance(column, LabelColumn):
        assert column.task is not None
        return TASK_FACTS[column.task].metrics[0], None
    if isinstance(regime(domains.target).labels, int):  # drawn alike: no class is rare among them
        return _chosen_by_source(domains, column, target, source)
    domain, rows = domains.target, target.labelled
    if not len(rows) and source is not None and domains.source is not None:
        domain, rows = domains.source, source.train
    of = domain.target_column
    if not isinstance(of, LabelColumn) or len(of.classes) != len(column.classes):
        return "accuracy", None
    return _by_counts(domain, of, rows)


def _chosen_by_source(
    domains: Domains, column: LabelColumn, target: TargetRows, source: SourceRows | None
) -> tuple[MetricName, str | None]:
    domain = domains.source
    of = None if domain is None else domain.target_column
    if (
        domain is not None
        and source is not None
        and isinstance(of, LabelColumn)
        and (of.classes == column.classes)
    ):
        return _by_counts(domain, of, source.train)
    open_question = len(column.classes) == 2 and _may_be_rare(domains.target, target)
    return "accuracy", NOT_LOOKED if open_question else None


def _may_be_rare(domain: Domain, rows: TargetRows) -> bool:
    """Whether one of two classes may be rare among the training rows, of which as many of each
    class were drawn."""
    split = domain.config.splits.train
    drawn = len(rows.labelled) + (len(rows.validation) if rows.validation_split == split else 0)
    return rare_is_possible(drawn // 2, domain.split(split).rows)


def _by_counts(domain: Domain, of: LabelColumn, rows: np.ndarray) -> tuple[MetricName, str | None]:
    labels = domain.targets(domain.config.splits.train)[rows]
    counts = np.bincount(labels[has_target(labels)], minlength=len(of.classes))
    return _named(auto_metric(counts.tolist())) if counts.any() else ("accuracy", None)


def check_classes(study: Study, domains: Domains, target: TargetRows) -> list[str]:
    """Check that test rows, and validation rows that the study selects by, are of as many classes
    as its metric needs; return sentences on further classes that are missing there.

    Raises DataError where they are all of one class: such a metric would call all models alike.
    """
    metric, column = METRICS[study.metric], domains.target.target_column
    if not metric.contrasts or not isinstance(column, LabelColumn):
        return []
    test = domains.target.config.splits.test
    of = {f"target_domain.splits.test: the rows of '{test}'": domains.target.targets(test)}
    if study.objective == "target_metric":
        held = domains.target.targets(target.validation_split)[target.validation]
        of[f"target_domain: the {len(held)} validation rows"] = held
    found = (_missing(rows, labels, column, metric) for rows, labels in of.items())
    return [sentence for sentence in found if sentence is not None]


def _missing(rows: str, labels: np.ndarray, column: LabelColumn, metric: Metric) -> str | None:
    known = labels[has_target(labels)]
    bare = np.flatnonzero(np.bincount(known, minlength=len(column.classes)) == 0)
    if not len(known) or not len(bare):
        return None
    there = len(column.classes) - len(bare)
    if there < 2:
        raise DataError(
            f"{rows} are all of class {column.classes[known[0]]}, but {metric.words} needs rows of "
            "two; name another split, hold out more rows, or choose another search.metric"
        )
    more = f" and {len(bare) - 1} more are" if len(bare) > 1 else " is"
    return (
        f"{rows} are of {there} of {len(column.classes)} classes alone, '{column.classes[bare[0]]}'"
        f"{more} missing: "
        f"{metric.words} is over those that are there"
    )


def _named(chosen: tuple[str, str | None]) -> tuple[MetricName, str | None]:
    name, reason = chosen
    assert name in METRICS
    return cast(MetricName, name), reason
