"""What a trial reads: its streams, its validation rows, and prefix features in place of rows where
those pay."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch

from raytl.config import Study, TrainConfig
from raytl.data.branch_rows import ColumnRows
from raytl.data.dataset import Split
from raytl.data.domain import Domain, Domains
from raytl.data.feed import Feed
from raytl.models.branch import Branch
from raytl.ranks import own_share
from raytl.rows import Padded, Rows
from raytl.seeds import seed_for
from raytl.training.building import TrialParts
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import Room, named_rows
from raytl.training.readers import Prepared, Reader, Readers, Stored
from raytl.training.splits import source_rows, target_rows

# How many trials are taken to share a prefix: not the study's own number, on which nothing but
# their count may hang.
TRIALS_TO_PAY = 16
SIZED_BY = 32  # rows of unequal sizes by which their mean size is estimated


def reads_source(study: Study, streams: Collection[str]) -> bool:
    """Whether a trial with these streams reads rows of the source domain, where there is one: to
    learn from them, or, without target labels, to be judged by iwv, dev and circv."""
    return "source" in streams or not study.labelled


def training_feeds(
    material: Material,
    readers: Readers,
    own: Readers,
    streams: Collection[str],
    seed: int,
    rows_seed: int,
) -> tuple[dict[str, Feed], Feed, Feed | None]:
    """Return the training streams by name, the target's validation feed and the source's.

    Training rows are read by `readers`, a teacher's branches included, validation rows by the
    model's `own`. `rows_seed` draws the target's labelled and held-out rows.
    """
    study, domains = material.study, material.domains
    target, source, train = domains.target, domains.source, study.train
    rows = target_rows(target, rows_seed)
    augmented = (train.augment, study.search.seed) if train.augment.active else None

    def feed(domain: Domain, split: str, indices: np.ndarray, labelled: bool, name: str) -> Feed:
        judging = name == "validation"
        return (own if judging else readers).feed(
            domain, split, indices=indices, labelled=labelled, batch_size=train.batch_size,
            seed=seed_for(seed, "shuffle", name), kind=train.feed, share=own_share(),
            augmented=None if judging else augmented, tasks=study.resources.data_tasks,
        )  # fmt: skip

    train_split = target.config.splits.train
    validation = feed(target, rows.validation_split, rows.validation, True, "validation")
    feeds: dict[str, Feed] = {}
    source_validation = None
    if source is not None:
        of_source = source_rows(source, study.search.seed)
        if "source" in streams:
            feeds["source"] = feed(
                source, source.config.splits.train, of_source.train, True, "source"
            )
        if reads_source(study, streams):
            source_validation = feed(
                source, of_source.validation_split, of_source.validation, True, "validation"
            )
    if "target" in streams:
        feeds["target"] = feed(target, train_split, rows.unlabelled, False, "target")
    if "labelled" in streams:
        feeds["labelled"] = feed(target, train_split, rows.labelled, True, "labelled")
    return feeds, validation, source_validation


def readers_of(material: Material, parts: TrialParts, device: torch.device) -> Readers:
    """Return how the branches read: prefix features where those pay, else prepared rows that are
    kept where preparing takes time. All that a trial has stored takes half of the cache at most."""
    train, domains = material.study.train, material.domains
    splits = [split for _, split in splits_of(domains)]
    free = float(train.prefix_cache_bytes // 2)
    room = Room(train.prefix_cache_bytes, published=material.shared.published)
    readers: dict[str, Reader] = {}
    for name, branch in parts.branches.items():
        column = name.rpartition("/")[2]
        prefix = Prefix(branch, device, train.prefix_dtype, pools(parts, name))
        pooled = material.shared.pooled
        if prefix.depth and pooled and pooled.holds(keys_of(prefix, domains, column).values()):
            readers[name] = Stored(column, prefix, room, pooled=pooled)
            continue
        some = some_rows(domains, column, branch)
        readers[name] = Prepared(column, branch)
        for kept in _worth_storing(train, prefix, splits):
            num_bytes = _rows_stored(train, splits) * kept.row_bytes(some)
            if num_bytes <= free:
                readers[name] = Stored(column, kept, room)
                free -= num_bytes
                break
    return Readers(domains, readers, device, parts.task)


def pools(parts: TrialParts, branch: str) -> bool:
    """Whether of a wholly frozen branch features are all that is read: neither mapper nor head
    reads what its blocks give."""
    model = parts.model
    maps = model.mapper.spatial or model.reads != "features"
    return not (branch in model.columns and maps)


def keys_of(prefix: Prefix, domains: Domains, column: str) -> dict[tuple[bool, str], str]:
    """Return the key of the features of every split that trials read, by whether it is the source
    domain's, and its name."""
    found = {}
    for domain, split in splits_of(domains):
        name = domains.column_in(domain, column)
        if name is not None:
            rows = Prepared(column, prefix.branch).rows(domain, split.name, name, None)
            assert isinstance(rows, ColumnRows)
            named = named_rows(domain.dataset.fingerprint, rows)
            found[domain is domains.source, split.name] = prefix.pooled_key(named)
    return found


def _worth_storing(train: TrainConfig, prefix: Prefix, splits: Collection[Split]) -> list[Prefix]:
    """Return what may be stored for a branch if there is room, what saves most first."""
    found = [prefix] if prefix.depth > 0 and _pays(train, prefix, splits) else []
    return found + ([replace(prefix, blocks=0)] if prefix.branch.transform.keeps_prepared else [])


def some_rows(domains: Domains, column: str, branch: Branch) -> Rows:
    """Return a few prepared rows, by whose size it is decided what is stored."""
    example = branch.transform.example(1)
    if not isinstance(example, Padded):
        return example
    every = [domain for domain in (domains.target, domains.source) if domain is not None]
    domain = next(d for d in every if domains.column_in(d, column) is not None)
    name, split = domains.column_in(domain, column), domain.config.splits.train
    assert name is not None
    rows = Prepared(column, branch).rows(domain, split, name, None)
    return rows.given(np.arange(min(SIZED_BY, domain.split(split).rows))).rows


def splits_of(domains: Domains) -> list[tuple[Domain, Split]]:
    """Return the splits that trials and confirmation read, each with its domain."""
    return [
        (domain, domain.split(name))
        for domain in (domains.target, domains.source)
        if domain is not None
        for name in dict.fromkeys(domain.config.read_splits())
    ]


def _rows_stored(train: TrainConfig, splits: Collection[Split]) -> int:
    return (train.augment.views or 1) * sum(split.rows for split in splits)


def _pays(train: TrainConfig, prefix: Prefix, splits: Collection[Split]) -> bool:
    """Whether trials may store the prefix's features themselves, and that pays."""
    return train.feed not in ("streaming", "ray_data") and reuse_pays(train, prefix, splits)


def reuse_pays(train: TrainConfig, prefix: Prefix, splits: Collection[Split]) -> bool:
    """Whether the prefix's inputs are fixed, and a pass over the splits is no longer than what
    TRIALS_TO_PAY trials would compute in the prefix otherwise."""
    if not train.reuse_prefix:
        return False
    augmented = train.augment.active and prefix.branch.modality.augments
    if augmented and train.augment.views is None:
        return False
    if train.steps_per_epoch is None:
        return True
    drawn = train.epochs * train.steps_per_epoch * train.batch_size
    return _rows_stored(train, splits) <= drawn * TRIALS_TO_PAY // 2
