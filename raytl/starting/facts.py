"""What a dataset asks for: its splits, its columns, its task, how many rows there are."""

from dataclasses import dataclass

import numpy as np

from raytl.config import TASK_FACTS, DomainConfig, TaskName
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain
from raytl.data.split_names import Parts, parts_of
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.column import Column
from raytl.tasks.columns import LabelColumn, has_target
from raytl.urls import Place, Url

LEAST_ROWS = 10  # to learn from and to be selected by; fewer tell nothing


@dataclass(frozen=True)
class Facts:
    """`place`: of the dataset, as the study says it. `counts`: rows of each class of the training
    split; None of other tasks, and where not all labels may be looked at."""

    place: str
    dataset: Dataset
    parts: Parts
    target: str
    counts: tuple[int, ...] | None

    @property
    def column(self) -> Column:
        """What is learnt."""
        return self.dataset.columns[self.target]

    @property
    def task(self) -> TaskName:
        """What it asks for."""
        assert self.column.task is not None
        return self.column.task

    @property
    def gives(self) -> frozenset[str]:
        """What the task gives: see `TaskFacts`."""
        return TASK_FACTS[self.task].gives

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, of a classification; else none."""
        return self.column.classes if isinstance(self.column, LabelColumn) else ()

    @property
    def inputs(self) -> dict[str, Column]:
        """The columns that are learnt from."""
        return {name: self.dataset.columns[name] for name in self.dataset.inputs}

    def rows(self, split: str | None) -> int:
        """Return how many rows a split has; 0 for none."""
        return 0 if split is None else self.dataset.info.splits[split].rows

    @property
    def train_rows(self) -> int:
        """Rows of the training split."""
        return self.rows(self.parts.train)


def facts_of(
    place: Place, target: str | None, *, tested: bool, looks: bool = True, option: str = "--target"
) -> Facts:
    """Return the facts of a dataset. `target`: the column that is learnt, where there are several;
    `tested`: whether it needs a test split; `looks`: whether all labels may be looked at.

    Raises DataError where a split is missing, where there are too few rows, and where the labels
    are of one class; ConfigError where the column cannot be told.
    """
    dataset = Dataset.open(place)
    shown = place.shown if isinstance(place, Url) else str(place)
    domain = Domain.of(DomainConfig(dataset=place, target=target), dataset)
    parts = parts_of(dataset.info.splits)
    _check_splits(shown, dataset, parts, tested)
    column, counts = dataset.columns[domain.target], None
    if isinstance(column, LabelColumn) and looks:
        counts = _counts(shown, dataset, parts, domain.target, column)
    return Facts(str(place), dataset, parts, domain.target, counts)


def _check_splits(shown: str, dataset: Dataset, parts: Parts, tested: bool) -> None:
    names = ", ".join(dataset.info.splits)
    if parts.train is None:
        raise DataError(f"{shown}: no split is called train (splits: {names}); shard it again")
    if tested and parts.test is None:
        raise DataError(
            f"{shown}: no split is called test (splits: {names}), and without rows that nothing "
            "has looked at there is no verdict; shard it again with --test 0.2"
        )
    rows = dataset.info.splits[parts.train].rows
    if rows < LEAST_ROWS:
        raise DataError(
            f"{shown}: rows of {parts.train} >= {LEAST_ROWS} must hold, to learn from and to be "
            f"selected by, got {rows}; add some"
        )


def _counts(
    shown: str, dataset: Dataset, parts: Parts, target: str, column: LabelColumn
) -> tuple[int, ...]:
    split = str(parts.train)
    labels = np.asarray(dataset.split(split).all(target))
    known = labels[has_target(labels)]
    counts = np.bincount(known, minlength=len(column.classes))
    if len(known) and (counts > 0).sum() < 2:
        raise DataError(
            f"{shown}: all labelled rows of {split} are of class {column.classes[counts.argmax()]}"
            ", so there is nothing to tell apart; add rows of another, or name another --target"
        )
    alone = np.flatnonzero(counts == 1)
    if len(alone) and parts.validation is None:
        raise DataError(
            f"{shown}: class {printable(column.classes[alone[0]])} has one row in {split} "
            f"({len(alone)} such classes), and needs two, one to learn from and one to be selected "
            "by; add rows of it, or drop it"
        )
    return tuple(counts.tolist())
