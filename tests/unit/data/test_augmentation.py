"""Augmentation: by hand, seeded, and resumed."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.config import AugmentConfig
from raytl.data.augmentation import augment
from raytl.data.dataset import Dataset
from raytl.data.feed import Batch, Feed, make_feed

IMAGE = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)


def test_views_without_augmentation_are_refused() -> None:
    with pytest.raises(ValueError, match="give flip: true or crop: N, or no views"):
        AugmentConfig(views=4)


def test_a_flip_by_hand() -> None:
    both = np.concatenate([IMAGE, IMAGE])
    draws = np.array([[0.4, 0, 0], [0.6, 0, 0]])
    flipped, kept = augment(both, AugmentConfig(flip=True), draws)[..., 0]
    assert flipped.tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert kept.tolist() == IMAGE[0, ..., 0].tolist()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        ((0.0, 0.0), [[0, 0, 0], [0, 1, 2], [0, 4, 5]]),
        ((0.5, 0.5), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ((0.99, 0.5), [[4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        ((0.5, 0.99), [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
    ],
)
def test_a_shift_by_hand(draw: tuple[float, float], expected: list[list[int]]) -> None:
    out = augment(IMAGE, AugmentConfig(crop=1), np.array([[0.0, *draw]]))
    assert out[0, ..., 0].tolist() == expected


def feed(domains: tuple[Path, Path], kind: str, config: AugmentConfig, seed: int = 3) -> Feed:
    return make_feed(
        Dataset.open(domains[0]), "train", indices=np.arange(0, 80, 2), labelled=True,
        batch_size=8, seed=seed, kind=kind, augmented=(config, 7),
    )  # type: ignore[arg-type]  # fmt: skip


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        torch.equal(a.x, b.x) and torch.equal(a.id, b.id) for a, b in zip(one, other, strict=True)
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
        for row, image in zip(batch.id.tolist(), batch.x.numpy(), strict=True):
            seen.setdefault(row, set()).add(image.tobytes())
    assert len(seen) == 40
    assert sum(len(images) > 1 for images in seen.values()) > 10


def test_each_row_has_as_many_views_as_asked_for(domains: tuple[Path, Path]) -> None:
    config = AugmentConfig(crop=3, views=2)
    seen: dict[int, set[bytes]] = {}
    for seed in (3, 4):  # the views are the study's, whatever the trial's seed
        for batch in islice(feed(domains, "resident", config, seed).train_batches(), 50):
            for row, image in zip(batch.id.tolist(), batch.x.numpy(), strict=True):
                seen.setdefault(row, set()).add(image.tobytes())
    counts = [len(images) for images in seen.values()]
    assert max(counts) == 2 and counts.count(2) > 30  # two views can be the same by chance
