"""What a trial reads: its streams, its validation rows, and prefix features in place of images
where those pay."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from raytl.config import Study, TrialConfig
from raytl.data.augmentation import StackedViews, views_of
from raytl.data.dataset import Dataset, Split
from raytl.data.feed import Feed, make_feed
from raytl.data.resident import ResidentFeed
from raytl.data.views import View
from raytl.ranks import own_share
from raytl.recipes import RECIPES
from raytl.seeds import seed_for
from raytl.training.building import TrialParts, open_dataset
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import stored_features
from raytl.training.splits import source_rows, target_rows

# How many trials are taken to share a prefix: not the study's own number, on which nothing but
# their count may hang.
TRIALS_TO_PAY = 16
MakeFeed = Callable[..., Feed]  # make_feed, or the same over prefix features


def training_feeds(
    study: Study,
    trial: TrialConfig,
    seed: int,
    make: MakeFeed = make_feed,
    rows_seed: int | None = None,
) -> tuple[dict[str, Feed], Feed, Feed | None]:
    """Return the training streams by name, the target's validation feed and the source's.

    `rows_seed` draws the target's labelled and held-out rows; the study's seed by default.
    """
    target = open_dataset(study.target_domain.dataset)
    drawn_by = study.search.seed if rows_seed is None else rows_seed
    rows = target_rows(study.target_domain, target, drawn_by)
    kind, size = study.train.feed, study.train.batch_size

    augment = study.train.augment
    augmented = (augment, study.search.seed) if augment.active else None

    def feed(dataset: Dataset, split: str, indices: np.ndarray, labelled: bool, name: str) -> Feed:
        return make(
            dataset, split, indices=indices, labelled=labelled, batch_size=size,
            seed=seed_for(seed, "shuffle", name), kind=kind, share=own_share(),
            augmented=None if name == "validation" else augmented,
        )  # fmt: skip

    train_split = study.target_domain.splits.train
    validation = feed(target, rows.validation_split, rows.validation, True, "validation")
    streams = RECIPES[trial.recipe].streams(study.labelled, study.source_domain is not None)
    feeds: dict[str, Feed] = {}
    source_validation = None
    if study.source_domain is not None:
        source = open_dataset(study.source_domain.dataset)
        of_source = source_rows(study.source_domain, source, study.search.seed)
        if "source" in streams:
            source_split = study.source_domain.splits.train
            feeds["source"] = feed(source, source_split, of_source.train, True, "source")
        if "source" in streams or not study.labelled:  # iwv, dev and circv read them
            source_validation = feed(
                source, of_source.validation_split, of_source.validation, True, "validation"
            )
    if "target" in streams:
        feeds["target"] = feed(target, train_split, rows.unlabelled, False, "target")
    if "labelled" in streams:
        feeds["labelled"] = feed(target, train_split, rows.labelled, True, "labelled")
    return feeds, validation, source_validation


def reusing_prefix(
    study: Study, parts: TrialParts, device: torch.device
) -> tuple[TrialParts, MakeFeed]:
    """Return the parts and what makes their feeds: of prefix features where those pay."""
    spec = parts.source_model.spec
    prefix = Prefix(parts.model, spec, device, study.train.prefix_dtype)
    splits = _splits(study)
    if parts.recipe.uses_student or not _pays(study, prefix, splits):
        return parts, make_feed
    parts.model.reads = prefix.reads
    budget = study.train.prefix_cache_bytes

    def make(dataset: Dataset, split: str, **options: Any) -> Feed:
        del options["kind"]
        augmented, indices = options.pop("augmented", None), options.pop("indices")
        views: Sequence[View | None] = (
            views_of(*augmented) if augmented else [options.pop("view", None)]
        )
        features = [stored_features(prefix, dataset, split, budget, view) for view in views]
        rows = np.arange(features[0].rows) if indices is None else indices
        source = features[0] if len(features) == 1 else StackedViews(features)
        return ResidentFeed(source, rows, **options, views=len(views))

    return replace(parts, transform=torch.Tensor.float), make


def _splits(study: Study) -> list[Split]:
    """Return the splits that trials and confirmation read."""
    found = []
    for domain in (study.target_domain, study.source_domain):
        if domain is not None:
            names = {domain.splits.train, domain.splits.validation}
            if domain is study.target_domain:
                names.add(domain.splits.test)
            dataset = open_dataset(domain.dataset)
            found += [dataset.split(name) for name in names if name is not None]
    return found


def _pays(study: Study, prefix: Prefix, splits: list[Split]) -> bool:
    """Whether there is a prefix whose inputs are fixed, its features fit half of the cache, and a
    pass over the splits is no longer than what TRIALS_TO_PAY trials would compute in the prefix
    otherwise."""
    train = study.train
    if not train.reuse_prefix or prefix.model.frozen_depth == 0:
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
