"""Augmented batches: seeded, resumed, of as many views as asked for."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feed_support import image_feed

from raytl.config import AugmentConfig
from raytl.data.augmentation import AugmentedFeed
from raytl.data.batch import Batch
from raytl.data.branch_rows import FeedRows
from raytl.data.dataset import Dataset
from raytl.data.feed import Feed
from raytl.data.order import Layout
from raytl.data.resident import ResidentFeed
from raytl.modalities.image.wing import Image
from raytl.ranks import Share
from raytl.rows import Given


def feed(domains: tuple[Path, Path], kind: str, config: AugmentConfig, seed: int = 3) -> Feed:
    return image_feed(
        Dataset.open(domains[0]), indices=np.arange(0, 80, 2), seed=seed, kind=kind,
        augmented=(config, 7),
    )  # fmt: skip


def images(batch: Batch) -> torch.Tensor:
    rows = batch.inputs["image"].rows
    assert isinstance(rows, torch.Tensor)
    return rows


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        torch.equal(images(a), images(b)) and torch.equal(a.id, b.id)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", ["resident", "streaming"])
@pytest.mark.parametrize("views", [None, 3])
def test_batches_are_seeded_and_resumed(
    domains: tuple[Path, Path], kind: str, views: int | None
) -> None:
    config = AugmentConfig(flip=True, crop=2, views=views)
    first = list(islice(feed(domains, kind, config).train_batches(), 12))
    assert same(first, list(islice(feed(domains, kind, config).train_batches(), 12)))
    assert same(first[7:], list(islice(feed(domains, kind, config).train_batches(7), 5)))
    seen: dict[int, set[bytes]] = {}
    for batch in first:  # two epochs and two batches
        for row, image in zip(batch.id.tolist(), images(batch).numpy(), strict=True):
            seen.setdefault(row, set()).add(image.tobytes())
    assert len(seen) == 40
    assert sum(len(each) > 1 for each in seen.values()) > 10


def test_each_row_has_as_many_views_as_asked_for(domains: tuple[Path, Path]) -> None:
    config = AugmentConfig(crop=3, views=2)
    seen: dict[int, set[bytes]] = {}
    for seed in (3, 4):  # the views are the study's, whatever the trial's seed
        for batch in islice(feed(domains, "resident", config, seed).train_batches(), 50):
            for row, image in zip(batch.id.tolist(), images(batch).numpy(), strict=True):
                seen.setdefault(row, set()).add(image.tobytes())
    counts = [len(each) for each in seen.values()]
    assert max(counts) == 2 and counts.count(2) > 30  # two views can be the same by chance


def test_views_and_draws_of_a_step_keep_their_targets(domains: tuple[Path, Path]) -> None:
    labels = Dataset.open(domains[0]).split("train").all("label")
    ids = Dataset.open(domains[0]).split("train").ids()
    target_of = dict(zip(ids.tolist(), labels.tolist(), strict=True))
    for views in (None, 3):
        config = AugmentConfig(flip=True, views=views)
        for batch in islice(feed(domains, "resident", config).train_batches(), 12):
            assert batch.target is not None
            assert batch.target.tolist() == [target_of[row] for row in batch.id.tolist()]


@dataclass(frozen=True)
class Numbered:
    """Images that hold nothing but the number of their row."""

    scale: int = 1
    lengths: None = None

    def given(self, rows: np.ndarray) -> Given:
        pixels = np.zeros((len(rows), 3, 3, 1), np.uint8)
        pixels[:, 1, 1, 0] = rows * self.scale
        return Given(torch.from_numpy(pixels))


def numbered(branches: list[str], share: Share | None = None) -> AugmentedFeed:
    rows = FeedRows({"a": Numbered(), "b": Numbered(2)}, None, np.arange(20), Layout.together(20))
    more: dict[str, Any] = {} if share is None else {"share": share}
    plain = ResidentFeed(rows, np.arange(20), batch_size=8, seed=0, **more)
    return AugmentedFeed(plain, AugmentConfig(crop=1), 5, dict.fromkeys(branches, Image()))


def test_branches_that_show_a_row_are_augmented_alike() -> None:
    batch = next(numbered(["a", "b"]).train_batches())
    one, two = (batch.inputs[name].rows for name in ("a", "b"))
    assert isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor)
    assert torch.equal(2 * one, two)
    assert len({tuple(np.argwhere(image)[0]) for image in one.numpy() if image.any()}) > 1


def test_branches_that_cannot_be_augmented_stay_as_they_are() -> None:
    batch = next(numbered(["b"]).train_batches())
    plain = batch.inputs["a"].rows
    assert isinstance(plain, torch.Tensor)
    assert plain[:, 1, 1, 0].tolist() == batch.id.tolist()


def test_a_workers_share_is_augmented_as_all_rows_are() -> None:
    whole = next(numbered(["a"]).train_batches()).inputs["a"].rows
    parts = [next(numbered(["a"], Share(rank, 2)).train_batches()) for rank in (0, 1)]
    found = [part.inputs["a"].rows for part in parts]
    assert isinstance(whole, torch.Tensor)
    for rank, part in enumerate(found):
        assert isinstance(part, torch.Tensor) and torch.equal(Share(rank, 2).of(whole), part)


def test_evaluation_is_not_augmented(domains: tuple[Path, Path]) -> None:
    split = Dataset.open(domains[0]).split("train")
    augmented = feed(domains, "resident", AugmentConfig(crop=3))
    batch = next(augmented.eval_batches(512))
    assert np.array_equal(images(batch).numpy(), split.read("image", range(0, 80, 2)))
