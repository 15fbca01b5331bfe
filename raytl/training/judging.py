"""What a trial is judged by: metrics of validation and test rows, and validators without labels."""

from typing import Any

import torch

from raytl.config import Study
from raytl.data.feed import Feed
from raytl.scoring.validators import VALIDATORS, validate
from raytl.tasks.base import Task
from raytl.training.building import TrialParts
from raytl.training.evaluation import Evaluation, evaluate
from raytl.training.evidence import EvidenceFeeds, gather

Metrics = dict[str, Any]


def validated(
    study: Study,
    parts: TrialParts,
    validation: Feed,
    source_validation: Feed | None,
    evidence_rows: EvidenceFeeds | None,
    device: torch.device,
    *,
    last: bool,
) -> Metrics:
    """Return what there is to measure after an epoch: of the target's validation rows, of what
    validators see and, after the `last` epoch, of the source's. Where the study may use no target
    label, what reads one is called oracle."""
    task = parts.task
    judged_by = dict.fromkeys((*task.shown, metric_of(study, task)))
    names = [*judged_by, *task.label_free]
    target = evaluate(parts.model, task, validation, device, names=names)
    found = target.metrics
    prefix = "target/validation" if study.labelled else "oracle/target_validation"
    metrics: Metrics = {f"target/validation_{name}": found[name] for name in task.label_free}
    metrics |= {f"{prefix}_{name}": found[name] for name in judged_by if name in found}
    if study.labelled:
        metrics |= {"target/validation_loss": target.loss}
    metrics["validation_rows"] = target.rows if study.labelled else validation.rows
    validators = _validators(study, last)
    if evidence_rows is not None and validators:
        metrics |= _without_labels(parts, evidence_rows, validators, device)
    if last and source_validation is not None and parts.recipe.shares_classes:
        # For a person to see; often many more rows than the target's, so not in every epoch.
        name = task.shown[0]
        source = evaluate(
            parts.model, task, source_validation, device, of_source=True, names=[name]
        )
        metrics |= {f"source/validation_{name}": source.metrics[name]}
    return metrics


def _without_labels(
    parts: TrialParts, rows: EvidenceFeeds, validators: set[str], device: torch.device
) -> Metrics:
    evidence = gather(
        parts.model, parts.task, rows, device,
        mixed=any(VALIDATORS[name].reads_mixes for name in validators),
        of_source=any(VALIDATORS[name].reads_source for name in validators),
    )  # fmt: skip
    return {f"target/validator/{name}": v for name, v in validate(evidence, validators).items()}


def metric_of(study: Study, task: Task) -> str:
    """Return the metric that a study is judged by; the task's own where that is not decided."""
    return task.primary if study.search.metric == "auto" else study.search.metric


def _validators(study: Study, last: bool) -> set[str]:
    """Return the validators to compute: the objective in every epoch, all after the last one."""
    return {name for name in VALIDATORS if last or name == study.objective}


def of_test_split(result: Evaluation) -> Metrics:
    """Return what a confirmed trial reports of the test split."""
    measured = {f"test/{name}": value for name, value in result.metrics.items()}
    return measured | {"test/rows": result.rows}
