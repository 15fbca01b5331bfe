"""Which rows a trial may learn from, which it is selected by, and which it never sees.

The rule of the house: with `labels: none` no target label reaches training or selection, and the
test split is opened by nobody here. Where a dataset has groups, none stands on both sides of what
is held out. Rows without a target are never labelled ones.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from raytl.config import TargetDomainConfig
from raytl.data.domain import Domain
from raytl.data.subsets import any_rows, few_labels, holdout, labelled
from raytl.errors import DataError
from raytl.seeds import seed_for

Rows = np.ndarray  # int64 row numbers within a split


@dataclass(frozen=True)
class SourceRows:
    """Rows of the source domain, labelled ones alone."""

    train: Rows
    validation_split: str
    validation: Rows


@dataclass(frozen=True)
class TargetRows:
    """Rows of the target domain. `labelled` is empty with `labels: none`."""

    labelled: Rows
    unlabelled: Rows  # every training row that is not held out, nor of such a group; labels unseen
    validation_split: str
    validation: Rows


def source_rows(domain: Domain, seed: int) -> SourceRows:
    """Split the source domain into training and validation rows, stratified by class or value.
    Raises DataError where a side has no labelled row, or they cannot be split so."""
    return domain.once(("source rows", seed), lambda: _source_rows(domain, seed))


def _source_rows(domain: Domain, seed: int) -> SourceRows:
    splits = domain.config.splits
    targets = domain.targets(splits.train)
    if splits.validation is not None:
        train = _some(domain, splits.train, labelled(targets))
        validation = labelled(domain.targets(splits.validation))
        validation = _some(domain, splits.validation, validation)
        return SourceRows(train, splits.validation, validation)
    train, validation = holdout(
        targets,
        domain.config.validation_fraction,
        seed_for(seed, "source validation"),
        domain.split(splits.train).groups(),
    )
    return SourceRows(train, splits.train, validation)


def _some(domain: Domain, split: str, rows: Rows) -> Rows:
    """Return the labelled rows of a split, one at least."""
    if not len(rows):
        raise DataError(
            f"no row of split '{split}' has a value in column '{domain.target}', so that nothing "
            "can be learnt from or selected by it; name another split, or label some rows"
        )
    return rows


def regime(domain: Domain) -> TargetDomainConfig:
    """Return how the target domain's labels may be used."""
    assert isinstance(domain.config, TargetDomainConfig)
    return domain.config


def target_rows(domain: Domain, seed: int) -> TargetRows:
    """Split the target domain's training split by its label regime.

    - none: validation rows are drawn without looking at a label;
    - N: N rows per class (without classes: in all) are labelled, of which `validation_fraction` is
      held out;
    - all: `validation_fraction` of every class is held out.

    Where the study names a validation split, rows are held out there: with N labels the fraction of
    N, else the whole split. `seed` draws the labelled rows and those held out. Where nothing is
    held out (`whole_target`), what is learnt from stands in its place, and nothing is judged by it.

    Raises DataError where there are too few labelled rows for that.
    """
    return domain.once(("target rows", seed), lambda: _target_rows(domain, seed))


def _target_rows(domain: Domain, seed: int) -> TargetRows:
    config = regime(domain)
    name, fraction = config.splits.train, config.validation_fraction
    every = np.arange(domain.split(name).rows)
    if domain.learnt_K is not None:
        return TargetRows(domain.learnt_K, every, name, domain.learnt_K)
    if config.splits.validation is not None:
        return _with_named_validation(domain, every, seed)
    groups = domain.split(name).groups()
    held_seed = seed_for(seed, "target validation")
    if config.labels == "none":
        validation = any_rows(len(every), fraction, held_seed, groups)
        return TargetRows(np.arange(0), _without(every, validation, groups), name, validation)
    targets = domain.targets(name)
    known = every
    if isinstance(config.labels, int):
        known = few_labels(targets, config.labels, seed_for(seed, "target labels"), groups)
    of_known = None if groups is None else groups[known]
    train, held = holdout(targets[known], fraction, held_seed, of_known)
    unlabelled = _without(every, known[held], groups)
    return TargetRows(known[train], unlabelled, name, known[held])


def _without(every: Rows, held: Rows, groups: np.ndarray | None) -> Rows:
    """Return the rows that are not held out, nor of a group of which a row is."""
    if groups is None:
        return np.setdiff1d(every, held)
    return every[~np.isin(groups, groups[held])]


def _with_named_validation(domain: Domain, every: Rows, seed: int) -> TargetRows:
    config = regime(domain)
    name = config.splits.validation
    assert name is not None
    if config.labels == "none":
        return TargetRows(np.arange(0), every, name, np.arange(domain.split(name).rows))
    targets, held_targets = domain.targets(config.splits.train), domain.targets(name)
    if config.labels == "all":
        train = _some(domain, config.splits.train, labelled(targets))
        return TargetRows(train, every, name, _some(domain, name, labelled(held_targets)))
    held = _held_out_there(config, config.labels)
    if held >= config.labels:
        raise DataError(
            f"target_domain.labels: {config.labels}{_per_class(domain)} leave none to learn from "
            f"when {held} are held out in split '{name}'; label more rows or lower "
            "validation_fraction"
        )
    train = few_labels(
        targets, config.labels - held, seed_for(seed, "target labels"),
        domain.split(config.splits.train).groups(),
    )  # fmt: skip
    validation = few_labels(
        held_targets, held, seed_for(seed, "target validation"), domain.split(name).groups()
    )
    train = _some(domain, config.splits.train, train)
    return TargetRows(train, every, name, _some(domain, name, validation))


def _per_class(domain: Domain) -> str:
    return " per class" if domain.target_column.by == "classes" else ""


def redrawable(domain: Domain) -> bool:
    """Whether other rows could have been labelled: with `labels: N`, where every class of the
    training split (or all its values) has more rows than are drawn there."""
    return isinstance(regime(domain).labels, int) and share_drawn(domain) < 1


def share_drawn(domain: Domain) -> float:
    """Return which part of the rows that have a label a draw of `labels: N` takes: of the smallest
    class, or of all values; 1 or more where it takes them all."""
    config = regime(domain)
    assert isinstance(config.labels, int)
    drawn = config.labels
    if config.splits.validation is not None:
        drawn -= _held_out_there(config, drawn)
    targets = domain.targets(config.splits.train)
    known = targets[labelled(targets)]
    by_class = domain.target_column.by == "classes"
    fewest = np.unique(known, return_counts=True)[1].min() if by_class else len(known)
    return drawn / int(fewest)


def _held_out_there(config: TargetDomainConfig, labels: int) -> int:
    """Return how many of N labels (a class) are held out in a named validation split."""
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
