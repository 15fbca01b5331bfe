"""Which rows a trial may learn from, which it is selected by, and which it never sees.

The rule of the house: with `labels: none` no target label reaches training or selection, and the
test split is opened by nobody here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from raytl.config import TargetDomainConfig
from raytl.data.domain import Domain
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


def source_rows(domain: Domain, seed: int) -> SourceRows:
    """Split the source domain into training and validation rows, stratified by class."""
    splits = domain.config.splits
    every = np.arange(domain.split(splits.train).rows)
    if splits.validation is not None:
        validation = np.arange(domain.split(splits.validation).rows)
        return SourceRows(every, splits.validation, validation)
    train, validation = holdout(
        domain.targets(splits.train),
        domain.config.validation_fraction,
        seed_for(seed, "source validation"),
    )
    return SourceRows(train, splits.train, validation)


def regime(domain: Domain) -> TargetDomainConfig:
    """Return how the target domain's labels may be used."""
    assert isinstance(domain.config, TargetDomainConfig)
    return domain.config


def target_rows(domain: Domain, seed: int) -> TargetRows:
    """Split the target domain's training split by its label regime.

    - none: validation rows are drawn without looking at a label;
    - N: N rows per class are labelled, of which `validation_fraction` is held out;
    - all: `validation_fraction` of every class is held out.

    Where the study names a validation split, rows are held out there: with N labels the fraction of
    N per class, else the whole split. `seed` draws the labelled rows and those held out.
    """
    config = regime(domain)
    name, fraction = config.splits.train, config.validation_fraction
    rows = domain.split(name).rows
    every, nothing = np.arange(rows), np.arange(0)
    if config.splits.validation is not None:
        return _with_named_validation(domain, every, seed)
    if config.labels == "none":
        validation = _random_rows(rows, fraction, seed)
        return TargetRows(nothing, np.setdiff1d(every, validation), name, validation)
    labels = domain.targets(name)
    known = every
    if isinstance(config.labels, int):
        known = few_labels(labels, config.labels, seed_for(seed, "target labels"))
    train, validation = holdout(labels[known], fraction, seed_for(seed, "target validation"))
    return TargetRows(known[train], np.setdiff1d(every, known[validation]), name, known[validation])


def _with_named_validation(domain: Domain, every: Rows, seed: int) -> TargetRows:
    config = regime(domain)
    name = config.splits.validation
    assert name is not None
    whole = np.arange(domain.split(name).rows)
    if config.labels == "none":
        return TargetRows(np.arange(0), every, name, whole)
    if config.labels == "all":
        return TargetRows(every, every, name, whole)
    held = _held_out_there(config, config.labels)
    if held >= config.labels:
        raise DataError(
            f"target_domain.labels: {config.labels} per class leave none to learn from when "
            f"{held} are held out in split '{name}'; label more rows or lower validation_fraction"
        )
    labels = domain.targets(config.splits.train)
    labelled = few_labels(labels, config.labels - held, seed_for(seed, "target labels"))
    validation = few_labels(domain.targets(name), held, seed_for(seed, "target validation"))
    return TargetRows(labelled, every, name, validation)


def redrawable(domain: Domain) -> bool:
    """Whether other rows could have been labelled: with `labels: N`, where every class of the
    training split has more rows than are drawn there."""
    config = regime(domain)
    if not isinstance(config.labels, int):
        return False
    drawn = config.labels
    if config.splits.validation is not None:
        drawn -= _held_out_there(config, drawn)
    _, counts = np.unique(domain.targets(config.splits.train), return_counts=True)
    return bool(counts.min() > drawn)


def _held_out_there(config: TargetDomainConfig, labels: int) -> int:
    """Return how many of N labels a class are held out in a named validation split."""
    return max(1, round(labels * config.validation_fraction))


def count_labelled(domain: Domain, seeds: Collection[int]) -> int:
    """Return how many different rows had their label read, for training or selection, by trials
    that drew their rows with `seeds`."""
    config = regime(domain)
    if config.labels == "none":
        return 0
    drawn = [target_rows(domain, seed) for seed in seeds]
    known = {(config.splits.train, row) for rows in drawn for row in rows.labelled.tolist()}
    held_out = {(rows.validation_split, row) for rows in drawn for row in rows.validation.tolist()}
    return len(known | held_out)


def _random_rows(rows: int, fraction: float, seed: int) -> Rows:
    count = max(1, round(rows * fraction))
    generator = np.random.default_rng(seed_for(seed, "target validation"))
    return np.sort(generator.permutation(rows)[:count])
