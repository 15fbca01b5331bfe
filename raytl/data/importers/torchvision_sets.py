"""Any classification dataset of torchvision, by its class name."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from raytl.config import nearest
from raytl.data.fitting import fit_images
from raytl.data.importers.base import Imported, ShardOptions, image_column, need_source
from raytl.errors import DataError, RaytlError

# The splits of datasets that take `split=`, in the order in which they are tried.
SPLITS = ("train", "val", "valid", "test")
CHUNK = 512


def read_torchvision(source: str | None, options: ShardOptions) -> Imported:
    """Read `torchvision.datasets.NAME`, downloading it into `--root` where it is not there.

    Raises DataError for an unknown name, RaytlError where the download fails.
    """
    from torchvision import datasets

    name = need_source(source)
    if name not in datasets.__all__:
        raise DataError(f"torchvision has no dataset '{name}'; {nearest(name, datasets.__all__)}")
    loaded = _load(vars(datasets)[name], Path(options.root or "downloads") / name)
    splits = {split: _chunks(dataset, options) for split, dataset in loaded.items()}
    first = next(iter(loaded.values()))
    image, _ = next(_chunks(first, options, limit=1))
    return Imported(image_column(image), _classes(first), splits, sum(map(len, loaded.values())))


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
        return tuple(str(name) for name in names)
    labels = getattr(dataset, "labels", getattr(dataset, "targets", None))
    if labels is None:
        labels = [label for _, label in dataset]
    return tuple(str(k) for k in range(int(np.max(labels)) + 1))


def _chunks(dataset: Any, options: ShardOptions, limit: int | None = None) -> Any:
    count = min(len(dataset), limit or len(dataset))
    # One frame for all: a dataset of pictures of several shapes needs a size.
    size = options.size
    for start in range(0, count, CHUNK):
        rows = [dataset[i] for i in range(start, min(start + CHUNK, count))]
        images = [_pixels(image) for image, _ in rows]
        if size is None and len({image.shape for image in images}) > 1:
            raise DataError("images of several shapes; give --size")
        if size is not None or options.box is not None:
            side = size or max(images[0].shape[:2])
            images = [fit_images(i[None], side, options.fit, options.box)[0] for i in images]
        yield np.stack(images), np.array([int(label) for _, label in rows])


def _pixels(image: Any) -> np.ndarray:
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
