"""Feeds of a dataset of images as it lies, read as trials read them."""

from typing import Any

import numpy as np

from raytl.config import DomainConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.data.feed import Feed
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.image.wing import Image
from raytl.models.branch import Branch, Part
from raytl.training.readers import Prepared, Readers

SHAPE = (1, 8, 8)


def image_branch() -> Branch:
    """A branch whose transform prepares images as they are stored."""
    transform = ImageTransform(SHAPE, (0.5,), (0.5,))
    backbone = build_backbone("small_cnn", SHAPE, width=2)
    return Branch(Part(Image(), transform, backbone, {}, frozenset(), draws=False), ())


def image_readers(dataset: Dataset) -> tuple[Domain, Readers]:
    """A dataset as a domain of its own, and what reads its column `image`."""
    domain = Domain.of(DomainConfig(dataset=dataset.path), dataset)
    return domain, Readers(Domains(domain, None), {"image": Prepared("image", image_branch())})


def image_feed(
    dataset: Dataset,
    split: str = "train",
    *,
    indices: np.ndarray | None = None,
    labelled: bool = True,
    batch_size: int = 8,
    seed: int = 3,
    **more: Any,
) -> Feed:
    """A feed over the rows `indices` of a split, or over all of them."""
    domain, readers = image_readers(dataset)
    return readers.feed(
        domain, split, indices=indices, labelled=labelled, batch_size=batch_size, seed=seed, **more
    )
