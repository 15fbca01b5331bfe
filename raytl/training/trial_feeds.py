"""What a trial reads: its streams, its validation rows, and prefix features in place of rows where
those pay."""

from collections.abc import Collection

import numpy as np
import torch

from raytl.config import Study, TrainConfig
from raytl.data.dataset import Split
from raytl.data.domain import Domain, Domains
from raytl.data.feed import Feed
from raytl.ranks import own_share
from raytl.seeds import seed_for
from raytl.training.building import TrialParts
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.readers import Prepared, Reader, Readers, Stored
from raytl.training.splits import source_rows, target_rows

# How many trials are taken to share a prefix: not the study's own number, on which nothing but
# their count may hang.
TRIALS_TO_PAY = 16


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
            augmented=None if judging else augmented,
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
        if "source" in streams or not study.labelled:  # iwv, dev and circv read them
            source_validation = feed(
                source, of_source.validation_split, of_source.validation, True, "validation"
            )
    if "target" in streams:
        feeds["target"] = feed(target, train_split, rows.unlabelled, False, "target")
    if "labelled" in streams:
        feeds["labelled"] = feed(target, train_split, rows.labelled, True, "labelled")
    return feeds, validation, source_validation


def readers_of(study: Study, domains: Domains, parts: TrialParts, device: torch.device) -> Readers:
    """Return how the branches read: prefix features where those pay."""
    splits = _splits(domains)
    readers: dict[str, Reader] = {}
    for name, branch in parts.branches.items():
        column = name.rpartition("/")[2]
        pools = not (name in parts.model.branches and parts.model.mapper.spatial)
        prefix = Prefix(branch, device, study.train.prefix_dtype, pools)
        if _pays(study.train, prefix, splits):
            readers[name] = Stored(column, prefix, study.train.prefix_cache_bytes)
        else:
            readers[name] = Prepared(column, branch)
    return Readers(domains, readers)


def _splits(domains: Domains) -> list[Split]:
    """Return the splits that trials and confirmation read."""
    found = []
    for domain in (domains.target, domains.source):
        if domain is not None:
            found += [domain.split(name) for name in dict.fromkeys(domain.config.read_splits())]
    return found


def _pays(train: TrainConfig, prefix: Prefix, splits: Collection[Split]) -> bool:
    """Whether there is a prefix whose inputs are fixed, its features fit half of the cache, and a
    pass over the splits is no longer than what TRIALS_TO_PAY trials would compute in the prefix
    otherwise."""
    if not train.reuse_prefix or prefix.depth == 0:
        return False
    views = train.augment.views or 1
    if train.augment.active and train.augment.views is None:
        return False
    if train.feed == "streaming":
        return False
    rows = views * sum(split.rows for split in splits)
    if rows * prefix.row_bytes > train.prefix_cache_bytes // 2:
        return False
    if train.steps_per_epoch is None:
        return True
    drawn = train.epochs * train.steps_per_epoch * train.batch_size
    return rows <= drawn * TRIALS_TO_PAY // 2
