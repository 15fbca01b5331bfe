"""Which rows a trial may learn from, which it is selected by, and which it never sees.

The rule of the house: with `labels: none` no target label reaches training or selection, and the
test split is opened by nobody here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from raytl.config import DomainConfig, TargetDomainConfig
from raytl.data.dataset import Dataset
from raytl.data.subsets import few_labels, holdout
from raytl.errors import DataError
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

    Where the study names a validation split, rows are held out there: with N labels the fraction of
    N per class, else the whole split. `seed` draws the labelled rows and those held out.
    """
    split = dataset.split(domain.splits.train)
    every, nothing = np.arange(split.rows), np.arange(0)
    if domain.splits.validation is not None:
        return _with_named_validation(domain, dataset, every, seed)
    name = domain.splits.train
    if domain.labels == "none":
        validation = _random_rows(split.rows, domain, seed)
        return TargetRows(nothing, np.setdiff1d(every, validation), name, validation)
    labels = split.labels()
    known = every
    if isinstance(domain.labels, int):
        known = few_labels(labels, domain.labels, seed_for(seed, "target labels"))
    train, validation = holdout(
        labels[known], domain.validation_fraction, seed_for(seed, "target validation")
    )
    return TargetRows(known[train], np.setdiff1d(every, known[validation]), name, known[validation])


def _with_named_validation(
    domain: TargetDomainConfig, dataset: Dataset, every: Rows, seed: int
) -> TargetRows:
    name = domain.splits.validation
    assert name is not None
    held_out = dataset.split(name)
    whole = np.arange(held_out.rows)
    if domain.labels == "none":
        return TargetRows(np.arange(0), every, name, whole)
    if domain.labels == "all":
        return TargetRows(every, every, name, whole)
    held = _held_out_there(domain, domain.labels)
    if held >= domain.labels:
        raise DataError(
            f"target_domain.labels: {domain.labels} per class leave none to learn from when "
            f"{held} are held out in split '{name}'; label more rows or lower validation_fraction"
        )
    labels = dataset.split(domain.splits.train).labels()
    labelled = few_labels(labels, domain.labels - held, seed_for(seed, "target labels"))
    validation = few_labels(held_out.labels(), held, seed_for(seed, "target validation"))
    return TargetRows(labelled, every, name, validation)


def redrawable(domain: TargetDomainConfig, dataset: Dataset) -> bool:
    """Whether other rows could have been labelled: with `labels: N`, where every class of the
    training split has more rows than are drawn there."""
    if not isinstance(domain.labels, int):
        return False
    drawn = domain.labels
    if domain.splits.validation is not None:
        drawn -= _held_out_there(domain, drawn)
    _, counts = np.unique(dataset.split(domain.splits.train).labels(), return_counts=True)
    return bool(counts.min() > drawn)


def _held_out_there(domain: TargetDomainConfig, labels: int) -> int:
    """Return how many of N labels a class are held out in a named validation split."""
    return max(1, round(labels * domain.validation_fraction))


def count_labelled(domain: TargetDomainConfig, dataset: Dataset, seeds: Collection[int]) -> int:
    """Return how many different rows had their label read, for training or selection, by trials
    that drew their rows with `seeds`."""
    if domain.labels == "none":
        return 0
    drawn = [target_rows(domain, dataset, seed) for seed in seeds]
    known = {(domain.splits.train, row) for rows in drawn for row in rows.labelled.tolist()}
    held_out = {(rows.validation_split, row) for rows in drawn for row in rows.validation.tolist()}
    return len(known | held_out)


def _random_rows(rows: int, domain: TargetDomainConfig, seed: int) -> Rows:
    count = max(1, round(rows * domain.validation_fraction))
    generator = np.random.default_rng(seed_for(seed, "target validation"))
    return np.sort(generator.permutation(rows)[:count])
