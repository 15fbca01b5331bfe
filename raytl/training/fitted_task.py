"""The task of a domain, fitted to labelled training rows; the head that answers by them alone."""

import torch
from torch import nn

from raytl.data.domain import Domain, Domains
from raytl.tasks.base import Targets, Task
from raytl.tasks.heads import Constant
from raytl.tasks.registry import task_of
from raytl.training.splits import source_rows, target_rows


def fitted_task(domains: Domains, domain: Domain, seed: int) -> Task:
    """Return what a domain's target column asks for. `seed`: the study's, which draws the rows: all
    trials of a study have one task, whichever rows they draw, so that they can train together.

    Class counts, or the mean and spread of values, are those of the domain's labelled training
    rows; of a target domain without any, the source domain's, which all is learnt from then. Raises
    DataError where they do not do.
    """
    return task_of(domain.target_column, known_targets(domains, domain, seed))


def known_targets(domains: Domains, domain: Domain, seed: int) -> Targets:
    """Return the targets of those rows, (N,): none at all of a target without labels where the
    source domain, if there is one, asks for something else."""
    split = domain.config.splits.train
    if domain is domains.source:
        return domain.targets(split)[source_rows(domain, seed).train]
    rows = target_rows(domain, seed).labelled
    source = domains.source
    if len(rows) or source is None or source.target_column.kind != domain.target_column.kind:
        return domain.targets(split)[rows]
    return known_targets(domains, source, seed)


@torch.no_grad()
def fit_constant(head: nn.Module, task: Task, domains: Domains, rows_seed: int) -> None:
    """Set a constant head to the best answer on the target's labelled training rows, which
    `rows_seed` draws, or without such on the source domain's. Leaves other heads as they are."""
    if isinstance(head, Constant):
        head.bias.copy_(task.constant_out(known_targets(domains, domains.target, rows_seed)))
