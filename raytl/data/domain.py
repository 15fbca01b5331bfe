"""A dataset as a study uses it: which columns are learnt from, which is learnt.

Legend: N rows, K of them known.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from raytl.config import DomainConfig, nearest
from raytl.data.dataset import Dataset, Split
from raytl.errors import ConfigError
from raytl.modalities.column import Column, Values
from raytl.tasks.columns import NO_LABEL

Made = TypeVar("Made")
READ_ROWS = 256  # at a time, of a target that is read with its rows


@dataclass(frozen=True)
class Domain:
    """An opened domain. `inputs`: names of the columns that are learnt from; `target`: of the one
    that is learnt, empty where rows are predicted and not judged. `learnt_K`: rows of the training
    split that are learnt from, none held out; None: those that the study's labels leave."""

    config: DomainConfig
    dataset: Dataset
    inputs: tuple[str, ...]
    target: str
    learnt_K: np.ndarray | None = field(default=None, repr=False, compare=False)
    _made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """Return what `make` gives, made at the first call with this key: which rows are drawn,
        say, which may take seconds and which every trial asks for."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    @classmethod
    def open(cls, config: DomainConfig) -> "Domain":
        """Open the dataset that a study names.

        Raises DataError and CorruptError as `Dataset.open`, ConfigError for a column that is not
        there or cannot play its part.
        """
        return cls.of(config, Dataset.open(config.dataset))

    @classmethod
    def of(cls, config: DomainConfig, dataset: Dataset) -> "Domain":
        """Return an opened dataset as a study uses it; raises ConfigError as `open`."""
        return cls(config, dataset, _inputs(config, dataset), _target(config, dataset))

    @classmethod
    def to_predict(
        cls, config: DomainConfig, dataset: Dataset, suits: Callable[[Column], bool]
    ) -> "Domain":
        """Return a dataset whose rows are predicted; nothing is learnt. They are judged by the
        target column that `suits`, where there is one and no other."""
        fit = [name for name in dataset.targets if suits(dataset.columns[name])]
        return cls(config, dataset, _inputs(config, dataset), fit[0] if len(fit) == 1 else "")

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns that are learnt from, by name."""
        return {name: self.dataset.columns[name] for name in self.inputs}

    @property
    def target_column(self) -> Column:
        """The column that is learnt."""
        return self.dataset.columns[self.target]

    def split(self, name: str) -> Split:
        """Return a split; raises DataError that lists the known ones."""
        return self.dataset.split(name)

    def targets(self, split: str) -> np.ndarray:
        """Return what tells the rows of a split apart, (N,): their classes or values; of targets
        that are read with their rows 0, or NO_LABEL where a row has none."""
        if self.target_column.by != "rows":
            return np.asarray(self.split(split).all(self.target))
        return self.once(("there", split), lambda: self._there(self.split(split)))

    def learnt(self, split: str, rows: np.ndarray) -> Iterator[Values]:
        """Yield what is to be learnt of rows, (N,), in parts."""
        if self.target_column.by != "rows":
            yield self.targets(split)[rows]
            return
        for start in range(0, len(rows), READ_ROWS):
            yield self.split(split).read(self.target, rows[start : start + READ_ROWS])

    def _there(self, split: Split) -> np.ndarray:
        marks_N = np.zeros(split.rows, np.int64)
        if not self.target_column.may_lack:
            return marks_N
        for start in range(0, split.rows, READ_ROWS):
            rows = np.arange(start, min(start + READ_ROWS, split.rows))
            there = self.target_column.there(split.read(self.target, rows))
            marks_N[rows[~there]] = NO_LABEL
        return marks_N


@dataclass(frozen=True)
class Domains:
    """What a study learns from. Branches are named by the target's columns; a column of the source
    domain is the same where it has the name or is the only one of its kind, else it has a branch of
    its own. Raises ConfigError where one name stands for two kinds."""

    target: Domain
    source: Domain | None

    def __post_init__(self) -> None:
        ours, theirs = self.target.columns, self.source.columns if self.source else {}
        for name in ours.keys() & theirs.keys():
            if ours[name].kind != theirs[name].kind:
                raise ConfigError(
                    f"source_domain.inputs: column '{name}' is {theirs[name].kind}, but the "
                    f"target's is {ours[name].kind}; leave it out of one domain's inputs"
                )

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns that are learnt from, by branch, those of the target first."""
        own = dict(self.target.columns)
        if self.source is not None:
            theirs = {name: self.column_in(self.source, name) for name in own}
            of_source = self.source.columns
            own = {n: c.joined(of_source[o]) if (o := theirs[n]) else c for n, c in own.items()}
            own |= {n: c for n, c in of_source.items() if n not in theirs.values()}
        return own

    def column_in(self, domain: Domain, branch: str) -> str | None:
        """Return what the column of a branch is called in a domain; None where it has none."""
        if branch in domain.columns:
            return branch
        known = self.target.columns.get(branch)
        if known is None:
            return None
        kin = [n for n, c in domain.columns.items() if c.kind == known.kind]
        alone = sum(c.kind == known.kind for c in self.target.columns.values()) == 1
        return kin[0] if alone and len(kin) == 1 else None


def _inputs(config: DomainConfig, dataset: Dataset) -> tuple[str, ...]:
    known = list(dataset.inputs)
    if config.inputs is None:
        if not known:
            raise ConfigError(f"{dataset.path} has no column to learn from; shard it again")
        return tuple(known)
    for name in config.inputs:
        if name not in known:
            raise ConfigError(f"inputs: no column '{name}' to learn from; {nearest(name, known)}")
    if not config.inputs or len(set(config.inputs)) < len(config.inputs):
        raise ConfigError(
            f"inputs: give each column once, one at least, got {list(config.inputs)}; known: "
            + ", ".join(known)
        )
    return config.inputs


def _target(config: DomainConfig, dataset: Dataset) -> str:
    known = list(dataset.targets)
    if config.target is not None:
        if config.target not in known:
            raise ConfigError(
                f"target: no column '{config.target}' to be learnt; {nearest(config.target, known)}"
            )
        return config.target
    if len(known) != 1:
        what = f"has {len(known)} ({', '.join(known)})" if known else "has none"
        raise ConfigError(f"target: name the column that is to be learnt, as {dataset.path} {what}")
    return known[0]
