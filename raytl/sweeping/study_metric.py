"""What a study is judged by where it leaves that open, and whether the target has it."""

from typing import cast

import numpy as np

from raytl.config import MetricName, Study
from raytl.data.domain import Domains
from raytl.errors import ConfigError
from raytl.scoring.choosing import auto_metric
from raytl.scoring.metrics import METRICS
from raytl.tasks.columns import LabelColumn, has_target
from raytl.training.splits import SourceRows, TargetRows


def with_metric(
    study: Study, domains: Domains, target: TargetRows, source: SourceRows | None
) -> Study:
    """Return the study with its metric decided.

    `auto` looks at the labelled training rows that the study may read: the target's, or without
    target labels the source domain's. Raises ConfigError where the target has no such metric.
    """
    if study.search.metric == "auto":
        return study.decided(metric=_chosen(domains, target, source)[0])
    metric, column = METRICS[study.search.metric], domains.target.target_column
    classes = isinstance(column, LabelColumn)
    if (metric.reads != "values") != classes:
        able = [n for n, m in METRICS.items() if (m.reads != "values") == classes]
        what = "classes" if classes else "values"
        raise ConfigError(
            f"search.metric: {metric.name} is not of {what}, which the target column "
            f"'{domains.target.target}' holds; use auto, {', '.join(able[:-1])} or {able[-1]}"
        )
    if metric.binary_only and isinstance(column, LabelColumn) and len(column.classes) != 2:
        raise ConfigError(
            f"search.metric: {metric.name} is of two classes, but the target column "
            f"'{domains.target.target}' has {len(column.classes)}; use auto"
        )
    return study


def metric_reason(domains: Domains, target: TargetRows, source: SourceRows | None) -> str | None:
    """Return why `auto` is another metric than the usual one; None where it is the usual one."""
    return _chosen(domains, target, source)[1]


def _chosen(
    domains: Domains, target: TargetRows, source: SourceRows | None
) -> tuple[MetricName, str | None]:
    column = domains.target.target_column
    if not isinstance(column, LabelColumn):
        return _named(auto_metric(None))
    domain, rows = domains.target, target.labelled
    if not len(rows) and source is not None and domains.source is not None:
        domain, rows = domains.source, source.train
    of = domain.target_column
    if not isinstance(of, LabelColumn) or len(of.classes) != len(column.classes):
        return "accuracy", None
    labels = domain.targets(domain.config.splits.train)[rows]
    counts = np.bincount(labels[has_target(labels)], minlength=len(of.classes))
    return _named(auto_metric(counts.tolist())) if counts.any() else ("accuracy", None)


def _named(chosen: tuple[str, str | None]) -> tuple[MetricName, str | None]:
    name, reason = chosen
    assert name in METRICS
    return cast(MetricName, name), reason
