"""The task of a domain, fitted to labelled training rows; the head that answers by them alone."""

from collections.abc import Iterator

import torch
from torch import nn

from raytl.data.domain import Domain, Domains
from raytl.modalities.column import Values
from raytl.tasks.base import Task
from raytl.tasks.heads import OneAnswer
from raytl.tasks.registry import task_of
from raytl.training.splits import source_rows, target_rows


def fitted_task(domains: Domains, domain: Domain, seed: int, rows_seed: int | None = None) -> Task:
    """Return what a domain's target column asks for. `seed`: the study's, which draws the rows;
    `rows_seed`: of a trial that draws other rows of the target. Labels of no others are read.

    Class counts, or the mean and spread of values, are those of the domain's labelled training
    rows; of a target domain without any, the source domain's, which all is learnt from then. Raises
    DataError where they do not do.
    """
    key = ("fitted task", domain is domains.source, seed, rows_seed)
    return domain.once(
        key, lambda: task_of(domain.target_column, _known(domains, domain, seed, rows_seed))
    )


def _known(
    domains: Domains, domain: Domain, seed: int, rows_seed: int | None = None
) -> Iterator[Values]:
    """Return the targets of those rows, in parts: none at all of a target without labels where the
    source domain, if there is one, asks for something else."""
    split = domain.config.splits.train
    if domain is domains.source:
        return domain.learnt(split, source_rows(domain, seed).train)
    rows = target_rows(domain, seed if rows_seed is None else rows_seed).labelled
    source = domains.source
    if len(rows) or source is None or source.target_column.kind != domain.target_column.kind:
        return domain.learnt(split, rows)
    return _known(domains, source, seed)


@torch.no_grad()
def fit_constant(head: nn.Module, task: Task) -> None:
    """Set a constant head to the best answer on the rows that `task` was fitted to. Leaves other
    heads as they are."""
    if isinstance(head, OneAnswer):
        head.bias.copy_(task.constant_out())
