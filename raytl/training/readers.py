"""How a trial's branches read rows: as they are prepared, or as features of a frozen prefix."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch

from raytl.config import ON_ANY_NODE, AugmentConfig, DataTasks, FeedKind
from raytl.data.ahead import ahead_for
from raytl.data.augmentation import AugmentedFeed
from raytl.data.branch_rows import (
    BranchRows,
    ColumnRows,
    FeedRows,
    FewRows,
    RepeatedRows,
    StackedRows,
)
from raytl.data.dataset import Dataset, Split
from raytl.data.domain import Domain, Domains
from raytl.data.feed import Feed, chosen_kind
from raytl.data.order import Layout
from raytl.data.ray_feed import RayDataFeed
from raytl.data.resident import ResidentFeed
from raytl.data.streaming import StreamingFeed
from raytl.data.target_rows import HeldTargets, Reading, ReadTargets, TargetRows
from raytl.data.views import SomeRows, View, views_of
from raytl.errors import ConfigError
from raytl.models.branch import Branch
from raytl.ranks import WHOLE, Share
from raytl.training.pooled import Pooled
from raytl.training.pooled_rows import PooledRows
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import Room, named_rows, stored_features
from raytl.training.rows_read import ALL_ROWS, StoredRows

CPU = torch.device("cpu")
HELD_SHARE = 1 / 64  # of what a node may keep of datasets behind URLs

FEEDS: dict[str, type[ResidentFeed]] = {"resident": ResidentFeed, "streaming": StreamingFeed}


class Reader(Protocol):
    """How one branch reads."""

    @property
    def column(self) -> str:
        """Its column, as the study calls it."""
        ...

    @property
    def branch(self) -> Branch:
        """What it reads for."""
        ...

    @property
    def augments(self) -> bool:
        """Whether its rows can be augmented as they are read."""
        ...

    def rows(self, domain: Domain, split: str, column: str, view: View | None) -> BranchRows:
        """Return the rows of a split's column, seen through `view` if there is one."""
        ...


@dataclass(frozen=True)
class Prepared:
    """Rows as the branch's transform prepares them."""

    column: str
    branch: Branch

    @property
    def augments(self) -> bool:
        return bool(self.branch.modality.augments)

    def rows(self, domain: Domain, split: str, column: str, view: View | None) -> BranchRows:
        """Return rows that are prepared as they are asked for."""
        transform = self.branch.transform.for_column(domain.columns[column])
        return ColumnRows(domain.split(split), column, self.branch.modality, transform, view)


@dataclass(frozen=True)
class Stored:
    """Features of the branch's prefix, computed where they are not stored yet. `room`: the trial's,
    in the cache folder. `pooled`: where all rows' are, but for views. `stored`: of which rows these
    are."""

    column: str
    prefix: Prefix
    room: Room
    pooled: Pooled | None = None
    stored: StoredRows = ALL_ROWS

    @property
    def branch(self) -> Branch:
        return self.prefix.branch

    @property
    def augments(self) -> bool:
        return self.prefix.depth == 0 and bool(self.branch.modality.augments)

    def rows(self, domain: Domain, split: str, column: str, view: View | None) -> BranchRows:
        """Return stored features."""
        few = self.stored.of_view(domain, split, view)
        if few is None:
            return self._all(domain, split, column, view)
        found = self._all(domain, split, column, SomeRows(few, view))
        return FewRows(found, few, domain.split(split).rows)

    def _all(self, domain: Domain, split: str, column: str, view: View | None) -> BranchRows:
        prepared = Prepared(column, self.prefix.branch).rows(domain, split, column, view)
        assert isinstance(prepared, ColumnRows)
        if self.pooled is not None and view is None:
            named = named_rows(domain.dataset.fingerprint, prepared)
            features, of = self.pooled.open(self.prefix.pooled_key(named))
            runs = not self.branch.wholly_frozen
            return PooledRows(features, of, self.prefix.done, runs, self.prefix.channels_last)
        return stored_features(self.prefix, domain.dataset.fingerprint, prepared, self.room)


@dataclass(frozen=True)
class Readers:
    """How every branch of a trial reads, a teacher's branches included. `device`: where what is
    read is computed with. `reading`: how targets are that are read with their rows; None where they
    are classes or values."""

    domains: Domains
    by_branch: Mapping[str, Reader]
    device: torch.device = CPU
    reading: Reading | None = None

    def of(self, branches: Collection[str]) -> "Readers":
        """Return the readers of these branches alone."""
        return replace(self, by_branch={n: r for n, r in self.by_branch.items() if n in branches})

    @property
    def mixes(self) -> bool:
        """Whether the rows of every branch can be mixed."""
        return all(reader.branch.modality.mixes for reader in self.by_branch.values())

    @property
    def only_features(self) -> bool:
        """Whether every branch is given its features, with all steps done."""
        return all(isinstance(r, Stored) and r.prefix.whole for r in self.by_branch.values())

    def feed(
        self,
        domain: Domain,
        split: str,
        *,
        indices: np.ndarray | None,
        labelled: bool,
        batch_size: int,
        seed: int,
        kind: FeedKind = "auto",
        augmented: tuple[AugmentConfig, int] | None = None,
        share: Share = WHOLE,
        view: View | None = None,
        tasks: DataTasks = ON_ANY_NODE,
    ) -> Feed:
        """Return a feed over the rows `indices` of a split, or over all of them; where there is a
        `view`, of what that shows.

        With `labelled=False` the target column is never read. `augmented`: how training batches
        are, and the seed that fixes the views where there are such. `share`: the worker's. `tasks`:
        of Ray Data, where that reads. Raises ConfigError where the domain has no column of any
        branch.
        """
        part = domain.split(split)
        views = views_of(*augmented) if augmented else []

        def rows_of(reader: Reader, column: str) -> BranchRows:
            if not views:
                return reader.rows(domain, split, column, view)
            if not reader.branch.modality.augments:  # it looks alike in all of them
                return RepeatedRows(reader.rows(domain, split, column, None), part.rows)
            return StackedRows([reader.rows(domain, split, column, v) for v in views], part.rows)

        inputs = {
            branch: rows_of(reader, column)
            for branch, reader in self.by_branch.items()
            if (column := self.domains.column_in(domain, reader.column)) is not None
        }
        if not inputs:
            wanted = ", ".join(reader.column for reader in self.by_branch.values())
            raise ConfigError(
                f"a trial needs a column of each domain that it reads, but it reads {wanted}, and "
                f"{domain.dataset.path} has {', '.join(domain.inputs)}; take other inputs, or "
                "another source model"
            )
        own = np.arange(part.rows) if view is None else view.rows_of(part.rows)
        targets: TargetRows | None = None
        if labelled and domain.target_column.by == "rows":
            assert self.reading is not None and view is None
            targets = ReadTargets(part, domain.target, self.reading, views)
        elif labelled:
            targets = HeldTargets(domain.targets(split)[own])
        layout = Layout(part.ends, part.bytes)
        source = FeedRows(inputs, targets, part.ids()[own], layout)
        rows = np.arange(len(own)) if indices is None else indices
        chosen = _chosen(kind, part, domain.dataset, source)
        made: Callable[..., Feed] = FEEDS[chosen] if chosen != "ray_data" else partial(
            RayDataFeed, tasks=tasks
        )  # fmt: skip
        if chosen == "ray_data" and _are_few(rows, part, domain.dataset):
            source, made = source.held(rows), ResidentFeed
        feed = made(
            source, rows, batch_size=batch_size, seed=seed, views=max(1, len(views)), share=share
        )
        if augmented is not None and not views:
            branches = {
                name: reader.branch.modality
                for name, reader in self.by_branch.items()
                if name in inputs and reader.augments
            }
            feed = AugmentedFeed(feed, augmented[0], seed, branches, self.reading)
        return ahead_for(feed, self.device)


def _chosen(kind: FeedKind, split: Split, dataset: Dataset, source: FeedRows) -> FeedKind:
    """Return which feed reads rows. Where nothing of the data themselves is read, but pooled
    features, it is these features' bytes that count, which may be few where the data's are many."""
    pooled = [rows.features for rows in source.inputs.values() if isinstance(rows, PooledRows)]
    if len(pooled) < len(source.inputs) or isinstance(source.target, ReadTargets):
        return chosen_kind(kind, split.bytes, dataset.kept)
    return chosen_kind("auto", sum(of.bytes for of in pooled), all(of.kept for of in pooled))


def _are_few(rows: np.ndarray, split: Split, dataset: Dataset) -> bool:
    """Whether rows take so little that each process may hold them in memory."""
    return len(rows) * split.bytes <= HELD_SHARE * dataset.room * split.rows
