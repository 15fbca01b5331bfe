"""What a trial reads: its streams, its validation rows, and prefix features in place of rows where
those pay."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from raytl.config import TrainConfig
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
from raytl.training.rows_read import Part, StoredRows

# How many trials are taken to share a prefix: not the study's own number, on which nothing but
# their count may hang.
TRIALS_TO_PAY = 16
SIZED_BY = 32  # rows of unequal sizes by which their mean size is estimated


def training_feeds(
    material: Material, readers: Readers, own: Readers, read: Mapping[str, Part], seed: int
) -> tuple[dict[str, Feed], Feed, Feed | None]:
    """Return the training streams by name, the target's validation feed and the source's, of what
    is to be `read`.

    Training rows are read by `readers`, a teacher's branches included, validation rows by the
    model's `own`.
    """
    study, train = material.study, material.study.train
    augmented = (train.augment, study.search.seed) if train.augment.active else None

    def feed(name: str) -> Feed:
        part = read[name]
        shuffle = seed_for(seed, "shuffle", name if part.learns else "validation")
        return (readers if part.learns else own).feed(
            part.domain, part.split, indices=part.rows, labelled=part.labelled,
            batch_size=train.batch_size, seed=shuffle, kind=train.feed, share=own_share(),
            augmented=augmented if part.learns else None, tasks=study.resources.data_tasks,
        )  # fmt: skip

    validation = feed("validation")
    of_source = feed("source validation") if "source validation" in read else None
    return {name: feed(name) for name, part in read.items() if part.learns}, validation, of_source


def readers_of(
    material: Material, parts: TrialParts, device: torch.device, read: Mapping[str, Part]
) -> Readers:
    """Return how the branches read what is to be `read`: prefix features where those pay, else
    prepared rows that are kept where preparing takes time. All that a trial has stored takes half
    of the cache at most."""
    train, domains = material.study.train, material.domains
    free = float(train.prefix_cache_bytes // 2)
    room = Room(train.prefix_cache_bytes, published=material.shared.published)
    readers: dict[str, Reader] = {}
    for name, branch in parts.branches.items():
        column = name.rpartition("/")[2]
        prefix = Prefix(branch, device, train.prefix_dtype, pools(parts, name))
        readers[name] = Prepared(column, branch)
        stored = stored_rows(material, parts, name, read)
        for way in _ways(material, Stored(column, prefix, room, stored=stored)):
            count = way.stored.count
            need = count and count * way.prefix.row_bytes(some_rows(domains, column, branch))
            if need <= free:
                readers[name] = way
                free -= need
                break
    return Readers(domains, readers, device, parts.task)


def stored_rows(
    material: Material, parts: TrialParts, branch: str, read: Mapping[str, Part]
) -> StoredRows:
    """Return of which rows a trial that reads these stores a branch's features. A teacher's branch
    is given what is learnt from alone."""
    domains, augment = material.domains, material.study.train.augment
    seen, column = parts.branches[branch], branch.rpartition("/")[2]
    views = augment.views or 0 if augment.active and seen.modality.augments else 0
    judged = branch in parts.model.named_branches
    found = [
        part
        for part in read.values()
        if (judged or part.learns) and domains.column_in(part.domain, column) is not None
    ]
    return StoredRows.of(found, domains.source, views)


def pools(parts: TrialParts, branch: str) -> bool:
    """Whether of a wholly frozen branch features are all that is read: neither mapper nor head of
    its network, which may be a teacher, reads what its blocks give."""
    network = parts.model
    if branch not in network.columns:
        assert parts.teacher is not None
        network = parts.teacher.network
    return not network.mapper.spatial and network.reads == "features"


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


def _ways(material: Material, wished: Stored) -> list[Stored]:
    """Return how a branch's features, or its prepared rows, may be read from what is stored, if
    there is room: what saves most first."""
    train, prefix, stored = material.study.train, wished.prefix, wished.stored
    ways = []
    pooled = material.shared.pooled
    if pooled is not None and prefix.depth > 0:
        keys = keys_of(prefix, material.domains, wished.column)
        held = {place for place, key in keys.items() if pooled.holds([key])}
        beside, lacks = stored.beside(held), {place[:2] for place in stored.whole} - held
        if not lacks and reuse_pays(train, prefix, beside.count):
            ways.append(replace(wished, pooled=pooled, stored=beside))
    if prefix.depth > 0 and _pays(train, prefix, stored.count):
        ways.append(wished)
    if prefix.branch.transform.keeps_prepared:
        ways.append(replace(wished, prefix=replace(prefix, blocks=0)))
    return ways


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


def _pays(train: TrainConfig, prefix: Prefix, rows: int) -> bool:
    """Whether trials may store the prefix's features themselves, and that pays."""
    return train.feed not in ("streaming", "ray_data") and reuse_pays(train, prefix, rows)


def reuse_pays(train: TrainConfig, prefix: Prefix, rows: int) -> bool:
    """Whether the prefix's inputs are fixed, and a pass over the `rows` whose features are stored,
    every view's counted, is no longer than what TRIALS_TO_PAY trials would compute in the prefix
    otherwise."""
    if not train.reuse_prefix:
        return False
    augmented = train.augment.active and prefix.branch.modality.augments
    if augmented and train.augment.views is None:
        return False
    if train.steps_per_epoch is None:
        return True
    drawn = train.epochs * train.steps_per_epoch * train.batch_size
    return rows <= drawn * TRIALS_TO_PAY // 2
