"""torchvision's datasets of images with classes, by name."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raytl.config import nearest
from raytl.data.fitting import fit_images
from raytl.data.importers.arranging import arranged
from raytl.data.importers.base import Imported, ShardOptions, chunked, image_column, need_source
from raytl.data.importers.options import names_apart
from raytl.data.importers.split_rows import Rows
from raytl.data.stored import Chunk
from raytl.errors import DataError, RaytlError
from raytl.tasks.columns import LabelColumn

# Those that have one class an image and need no more than a folder. Listed here, so that a wrong
# name is told at once: importing torchvision takes seconds.
NAMES = (
    "CIFAR10", "CIFAR100", "CLEVRClassification", "Caltech101", "Caltech256", "Country211", "DTD",
    "EuroSAT", "FER2013", "FGVCAircraft", "FashionMNIST", "Flowers102", "Food101", "GTSRB",
    "INaturalist", "ImageNet", "Imagenette", "KMNIST", "LFWPeople", "MNIST", "Omniglot",
    "OxfordIIITPet", "PCAM", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397",
    "SVHN", "StanfordCars", "USPS",
)  # fmt: skip
# The splits of datasets that take `split=`, in the order in which they are tried.
SPLITS = ("train", "val", "valid", "test")


def read_torchvision(source: str | None, options: ShardOptions) -> Imported:
    """Read `torchvision.datasets.NAME`, downloading it into `--root` where it is not there; rows
    are stored in shuffled order.

    Raises DataError for an unknown name or rows without a class, RaytlError where the download
    fails.
    """
    name = need_source(source)
    if name not in NAMES:
        raise DataError(f"shard torchvision: no dataset '{name}'; {nearest(name, list(NAMES))}")
    from torchvision import datasets

    loaded = _load(vars(datasets)[name], Path(options.root or "downloads") / name)
    splits = {split: _rows(dataset, split, options) for split, dataset in loaded.items()}
    first = next(iter(loaded.values()))
    image = image_column(_pixels(first[0][0])[None], options)
    columns = {"image": image, "label": LabelColumn(classes=_classes(first))}
    return arranged(columns, splits, options)


def _load(dataset: Any, root: Path) -> dict[str, Any]:
    parameters = inspect.signature(dataset.__init__).parameters
    download = {"download": True} if "download" in parameters else {}
    try:
        if "train" in parameters:
            return {
                split: dataset(root, train=split == "train", **download)
                for split in ("train", "test")
            }
        found = {}
        for split in SPLITS if "split" in parameters else ():
            try:
                found[split] = dataset(root, split=split, **download)
            except ValueError:
                continue  # torchvision's word for a split that this dataset does not have
        return found or {"train": dataset(root, **download)}
    except (OSError, RuntimeError, ImportError) as error:
        raise RaytlError(
            f"torchvision.datasets.{dataset.__name__}: cannot load or download into {root}: "
            f"{str(error).splitlines()[0]}; put its files there, or shard a local copy"
        ) from None


def _classes(dataset: Any) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if names is not None:
        return names_apart([str(name) for name in names])
    labels = getattr(dataset, "labels", getattr(dataset, "targets", None))
    if labels is None:
        labels = [label for _, label in dataset]
    return tuple(str(k) for k in range(int(np.max(labels)) + 1))


def _rows(dataset: Any, split: str, options: ShardOptions) -> Rows:
    # Most datasets tell a label with its image alone: they are read ahead where rows are cut by it.
    cut = split == "train" and (options.test or options.validation)
    targets = (
        {"label": _labels(((None, dataset[i][1]) for i in range(len(dataset))), split)}
        if cut
        else {}
    )
    return Rows(len(dataset), lambda rows: _Part(dataset, split, options, rows), targets)


@dataclass(frozen=True)
class _Part:
    """Some rows of a dataset, which another process would have to be given whole."""

    dataset: Any
    split: str
    options: ShardOptions
    rows: np.ndarray

    def read(self, left_out: list[str]) -> Iterator[Chunk]:
        # One frame for all: a dataset of pictures of several shapes needs a size.
        size, box = self.options.size, self.options.box
        for places in chunked(np.arange(len(self.rows))):
            rows = [self.dataset[int(self.rows[place])] for place in places]
            images = [_pixels(image) for image, _ in rows]
            if size is None and len({image.shape for image in images}) > 1:
                raise DataError("images of several shapes; give --size")
            if size is not None or box is not None:
                side = size or max(images[0].shape[:2])
                images = [fit_images(i[None], side, self.options.fit, box)[0] for i in images]
            yield Chunk({"image": np.stack(images), "label": _labels(rows, self.split)}, places)

    def digest(self) -> str:
        raise AssertionError("what one process alone reads is not begun shard by shard")


def _labels(rows: Iterable[tuple[Any, Any]], split: str) -> np.ndarray:
    try:
        return np.array([int(label) for _, label in rows])
    except (TypeError, ValueError):
        raise DataError(f"split {split}: there are rows without a class") from None


def _pixels(image: Any) -> np.ndarray:
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
