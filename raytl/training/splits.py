"""Which rows a trial may learn from, which it is selected by, and which it never sees.

The rule of the house: with `labels: none` no target label reaches training or selection, and the
test split is opened by nobody here.
"""

from dataclasses import dataclass

import numpy as np

from raytl.config import DomainConfig, TargetDomainConfig
from raytl.data.dataset import Dataset
from raytl.data.subsets import few_labels, holdout
from raytl.seeds import seed_for

Rows = np.ndarray  # int64 row numbers within a split


@dataclass(frozen=True)
class SourceRows:
    """Rows of the source domain; all of them are labelled."""

    train: Rows
    validation_split: str
    validation: Rows


@dataclass(frozen=True)
class TargetRows:
    """Rows of the target domain. `labelled` is empty with `labels: none`."""

    labelled: Rows
    unlabelled: Rows  # every training row that is not held out, its label unseen
    validation_split: str
    validation: Rows


def source_rows(domain: DomainConfig, dataset: Dataset, seed: int) -> SourceRows:
    """Split the source domain into training and validation rows, stratified by class."""
    split = dataset.split(domain.splits.train)
    every = np.arange(split.rows)
    if domain.splits.validation is not None:
        validation = np.arange(dataset.split(domain.splits.validation).rows)
        return SourceRows(every, domain.splits.validation, validation)
    train, validation = holdout(
        split.labels(), domain.validation_fraction, seed_for(seed, "source validation")
    )
    return SourceRows(train, domain.splits.train, validation)


def target_rows(domain: TargetDomainConfig, dataset: Dataset, seed: int) -> TargetRows:
    """Split the target domain's training split by its label regime.

    - none: validation rows are drawn without looking at a label;
    - N: N rows per class are labelled, of which `validation_fraction` is held out;
    - all: `validation_fraction` of every class is held out.

    A validation split named by the study is taken whole instead.
    """
    split = dataset.split(domain.splits.train)
    every, nothing = np.arange(split.rows), np.arange(0)
    held_out = domain.splits.validation
    name = held_out or domain.splits.train
    whole = np.arange(dataset.split(held_out).rows) if held_out else nothing
    if domain.labels == "none":
        validation = whole if held_out else _random_rows(split.rows, domain, seed)
        rest = every if held_out else np.setdiff1d(every, validation)
        return TargetRows(nothing, rest, name, validation)
    labels = split.labels()
    known = every
    if isinstance(domain.labels, int):
        known = few_labels(labels, domain.labels, seed_for(seed, "target labels"))
    if held_out:
        return TargetRows(known, every, name, whole)
    train, validation = holdout(
        labels[known], domain.validation_fraction, seed_for(seed, "target validation")
    )
    return TargetRows(known[train], np.setdiff1d(every, known[validation]), name, known[validation])


def _random_rows(rows: int, domain: TargetDomainConfig, seed: int) -> Rows:
    count = max(1, round(rows * domain.validation_fraction))
    generator = np.random.default_rng(seed_for(seed, "target validation"))
    return np.sort(generator.permutation(rows)[:count])
