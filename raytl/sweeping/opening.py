"""What of a study can be checked before torch and Ray are imported, which takes seconds: the space,
the datasets and their splits, the files of the source models."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raytl.config import TASK_FACTS, DomainConfig, SourceModelConfig, Study
from raytl.config.study import WITHHELD
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.data.groups_apart import check_apart
from raytl.errors import ConfigError, DataError, RaytlError
from raytl.models.source_spec import read_spec
from raytl.scoring.validators import VALIDATORS
from raytl.search_space import SearchSpace
from raytl.sweeping.study_metric import check_classes, metric_reason, with_metric
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.columns import ValueColumn, has_target
from raytl.tasks.steps_column import StepsColumn
from raytl.training.splits import SourceRows, TargetRows, redrawable, source_rows, target_rows
from raytl.weight_files import check_file

LEAST_TEST_ROWS = LEAST_TEST_GROUPS = 2  # a variance over rows needs so many


@dataclass(frozen=True)
class Opened:
    """A study with its data open and its metric decided. `reason`: why `metric: auto` is not the
    usual one, where it is not. `test_labels`: how many test rows of the target have a label;
    without any there is nothing to confirm by. `notes`: what a person is to know before it
    starts."""

    study: Study
    space: SearchSpace
    domains: Domains
    target_rows: TargetRows
    source_rows: SourceRows | None
    test_labels: int
    reason: str | None = None
    notes: tuple[str, ...] = ()


def open_study(study: Study) -> Opened:
    """Open what the study names and check how it fits.

    Raises ConfigError, DataError, ModelError or CorruptError, with the place in the study.
    """
    space = SearchSpace(study)
    if study.search.sampler == "grid":
        next(space.grid())
    for name, config in study.source_models.items():
        with placed(f"source_models.{name}"):
            _check_files(config)
    target = _open("target_domain", study.target_domain)
    source = _open("source_domain", study.source_domain) if study.source_domain else None
    domains = Domains(target, source)
    _check_no_copy(study, domains)
    test_labels = _check_test(domains.target)
    rows = _rows(study, domains)
    judged = with_metric(study, domains, *rows)
    if "head" not in space.distributions and "head" not in judged.defaults:
        judged = judged.decided(head=TASK_FACTS[judged.task].heads[0])
    _check_source_rows(judged)
    reason = metric_reason(domains, *rows)
    notes = tuple(check_classes(judged, domains, rows[0]))
    return Opened(judged, SearchSpace(judged), domains, *rows, test_labels, reason, notes)


def _check_source_rows(study: Study) -> None:
    validator = VALIDATORS.get(study.objective)
    if study.labelled and validator is not None and validator.reads_source:
        raise ConfigError(
            f"search.objective: {study.objective} reads labelled source rows, which not every "
            "recipe has where there are target labels; use target_metric or auto"
        )


@contextlib.contextmanager
def placed(place: str) -> Iterator[None]:
    """Let errors begin with their place in the study."""
    try:
        yield
    except RaytlError as error:
        raise type(error)(f"{place}: {error}") from None


def _check_files(config: SourceModelConfig) -> None:
    for plain in config.plain:
        if plain.folder is not None:
            read_spec(plain.folder)
        elif plain.has_local_weights:
            check_file(plain.weights_file)


def _open(place: str, config: DomainConfig) -> Domain:
    with placed(f"{place}.dataset"):
        dataset = Dataset.open(config.dataset)
        splits = config.read_splits()
        for split in splits:
            dataset.split(split)
        dataset.ensure_verified()
        check_apart(dataset, splits)
    with placed(place):
        return Domain.of(config, dataset)


def _check_no_copy(study: Study, domains: Domains) -> None:
    """Raise ConfigError where the source domain reads a shard of which the target withholds the
    rows, under whatever path: the same rows are written to the same bytes."""
    if domains.source is None:
        return
    source, target = domains.source, domains.target
    for name in source.config.read_splits():
        read = _digests(source, name)
        for withheld in sorted(study.withheld):
            if read & _digests(target, withheld):
                raise ConfigError(
                    f"source_domain: {WITHHELD}, but shards of {source.dataset.path}'s split "
                    f"{name} are those of the target's split {withheld}; name other data"
                )


def _digests(domain: Domain, split: str) -> set[str]:
    return {shard.sha256 for shard in domain.dataset.info.splits[split].shards}


def _check_test(target: Domain) -> int:
    """Return how many test rows have a label. Raises DataError where an interval over them cannot
    be had, or says nothing. Their labels are read for no other end."""
    test = target.config.splits.test
    with placed("target_domain.dataset"):
        split = target.split(test)
    place = "target_domain.splits.test"
    known = _known(target, test)
    if len(known) == 0:
        return 0
    if len(known) < LEAST_TEST_ROWS:
        raise DataError(
            f"{place}: at least {LEAST_TEST_ROWS} test rows with a label are needed for an "
            f"interval, but '{test}' has {len(known)}"
        )
    groups = split.groups()
    if groups is not None and len(np.unique(groups[known])) < LEAST_TEST_GROUPS:
        raise DataError(
            f"{place}: at least {LEAST_TEST_GROUPS} groups of test rows with a label are needed "
            f"for an interval, as rows of one group are not drawn one by one, but '{test}' has 1"
        )
    alike = _alike(target, test, known)
    if alike is not None:
        raise DataError(
            f"{place}: {alike}, so that no model can be told from a constant; name another split "
            "or column"
        )
    return len(known)


def _known(target: Domain, test: str) -> np.ndarray:
    """Return the test rows that have a label."""
    if target.target_column.may_lack:
        return np.flatnonzero(has_target(target.targets(test)))
    return np.arange(target.split(test).rows)


def _alike(target: Domain, test: str, known: np.ndarray) -> str | None:
    """Return in which way the targets of the known test rows are all alike."""
    column, parts = target.target_column, target.learnt(test, known)
    if isinstance(column, ValueColumn | StepsColumn):
        ends = np.array([(part.min(), part.max()) for part in parts])
        return None if np.ptp(ends) > 0 else f"the target values of '{test}' are all alike"
    if isinstance(column, BoxColumn):
        boxes = any(len(of) for part in parts for of in part)
        return None if boxes else f"no row of '{test}' has a box"
    return None


def _rows(study: Study, domains: Domains) -> tuple[TargetRows, SourceRows | None]:
    target, source, seed = domains.target, domains.source, study.search.seed
    with placed("target_domain"):
        of_target = target_rows(target, seed)
    if study.confirm.redraw is True and not redrawable(target):
        which = "of every class" if target.target_column.by == "classes" else "with a target"
        raise ConfigError(
            f"confirm.redraw: true needs `labels: N` and more than N training rows {which}, so "
            f"that seeds can draw others, but labels is {study.target_domain.labels}; use auto"
        )
    if source is None:
        return of_target, None
    with placed("source_domain"):
        return of_target, source_rows(source, seed)
