"""What of a study can be checked before torch and Ray are imported, which takes seconds: the space,
the datasets and their splits, the files of the source models."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raytl.config import DomainConfig, SourceModelConfig, Study
from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError, RaytlError
from raytl.models.source_spec import read_spec
from raytl.scoring.validators import VALIDATORS
from raytl.search_space import SearchSpace
from raytl.training.splits import SourceRows, TargetRows, redrawable, source_rows, target_rows
from raytl.weight_files import check_file

LEAST_TEST_ROWS = 2  # a variance over rows needs so many


@dataclass(frozen=True)
class Opened:
    """A study with its data open."""

    study: Study
    space: SearchSpace
    target: Dataset
    source: Dataset | None
    target_rows: TargetRows
    source_rows: SourceRows | None


def open_study(study: Study) -> Opened:
    """Open what the study names and check how it fits.

    Raises ConfigError, DataError, ModelError or CorruptError, with the place in the study.
    """
    space = SearchSpace(study)
    _check_objective(study)
    if study.search.sampler == "grid":
        next(space.grid())
    for name, config in study.source_models.items():
        with placed(f"source_models.{name}"):
            _check_files(config)
    target = _open("target_domain", study.target_domain)
    source = _open("source_domain", study.source_domain) if study.source_domain else None
    return Opened(study, space, target, source, *_rows(study, target, source))


def _check_objective(study: Study) -> None:
    validator = VALIDATORS.get(study.objective)
    if study.labelled and validator is not None and validator.reads_source:
        raise ConfigError(
            f"search.objective: {study.objective} reads labelled source rows, which not every "
            "recipe has where there are target labels; use target_accuracy or auto"
        )


@contextlib.contextmanager
def placed(place: str) -> Iterator[None]:
    """Let errors begin with their place in the study."""
    try:
        yield
    except RaytlError as error:
        raise type(error)(f"{place}: {error}") from None


def _check_files(config: SourceModelConfig) -> None:
    if config.path is not None:
        read_spec(config.path)
    elif config.has_local_weights:
        check_file(Path(str(config.weights)))


def _open(place: str, domain: DomainConfig) -> Dataset:
    with placed(f"{place}.dataset"):
        dataset = Dataset.open(domain.dataset)
        for split in (domain.splits.train, domain.splits.validation):
            if split is not None:
                dataset.split(split)
        dataset.ensure_verified()
    return dataset


def _rows(
    study: Study, target: Dataset, source: Dataset | None
) -> tuple[TargetRows, SourceRows | None]:
    domain = study.target_domain
    with placed("target_domain.dataset"):
        target.split(domain.splits.test)
    if target.split(domain.splits.test).rows < LEAST_TEST_ROWS:
        raise DataError(
            f"target_domain.splits.test: at least {LEAST_TEST_ROWS} test rows are needed for an "
            f"interval, but '{domain.splits.test}' has {target.split(domain.splits.test).rows}"
        )
    with placed("target_domain"):
        of_target = target_rows(domain, target, study.search.seed)
    if study.confirm.redraw is True and not redrawable(domain, target):
        raise ConfigError(
            "confirm.redraw: true needs `labels: N` and more than N training rows of every class, "
            f"so that seeds can draw others, but labels is {domain.labels}; use auto"
        )
    if study.source_domain is None or source is None:
        return of_target, None
    with placed("source_domain"):
        return of_target, source_rows(study.source_domain, source, study.search.seed)
