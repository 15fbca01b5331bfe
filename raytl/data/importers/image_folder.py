"""torchvision's ImageFolder layout: SOURCE/SPLIT/CLASS/image, or SOURCE/CLASS/image.

Legend: H height, W width, C channels.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.data.fitting import fit_images
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.schema import ImageColumn
from raytl.data.writer import Chunk
from raytl.errors import DataError

# What torchvision.datasets.ImageFolder reads.
EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"])
CHUNK = 256  # images decoded and written together
RAY_FROM = 2000  # files: with fewer, starting Ray costs more than its processes gain

Item = tuple[Path, int]


def _chunked(items: list[Item]) -> list[list[Item]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


def read_image_folder(source: str | None, options: ShardOptions) -> Imported:
    """Decode every image to RGB at `--size` (224). Folders become splits, or `train` alone where
    there are none; every split must have the same classes.

    Files that ImageFolder would not read are skipped and listed. An image that does not decode is
    a DataError, or with `--skip-bad` skipped and listed too.
    """
    root = Path(need_source(source))
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; give SOURCE/SPLIT/CLASS/image or SOURCE/CLASS/image"
        )
    folders = _splits(root)
    classes = _classes(folders)
    size = options.size or 224
    found = Imported(ImageColumn(shape=(size, size, 3), dtype="uint8"), classes, {}, rows=0)
    items = {name: _items(folder, classes, found.skipped) for name, folder in folders.items()}
    found.rows = sum(map(len, items.values()))
    found.splits = {
        name: _chunks(list(part), size, options, found.skipped) for name, part in items.items()
    }
    return found


def _children(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _splits(root: Path) -> dict[str, Path]:
    nested = [child for child in _children(root) if _children(child)]
    return {child.name: child for child in nested} if nested else {"train": root}


def _classes(folders: dict[str, Path]) -> tuple[str, ...]:
    names = {split: tuple(c.name for c in _children(folder)) for split, folder in folders.items()}
    first, classes = next(iter(names.items()))
    for split, others in names.items():
        if others != classes:
            raise DataError(
                f"every split must have the same class folders, but {first} has {list(classes)} "
                f"and {split} has {list(others)}"
            )
    if not classes:
        raise DataError(f"{next(iter(folders.values()))}: no class folders")
    return classes


def _items(folder: Path, classes: tuple[str, ...], skipped: list[str]) -> list[Item]:
    items = []
    for number, name in enumerate(classes):
        for path in sorted(p for p in (folder / name).rglob("*") if p.is_file()):
            if path.suffix.lower() in EXTENSIONS:
                items.append((path, number))
            else:
                skipped.append(f"{path}: {path.suffix or 'no extension'} is no image type")
    return items


def _chunks(
    items: list[Item], size: int, options: ShardOptions, skipped: list[str]
) -> Iterator[Chunk]:
    for chunk, images in zip(_chunked(items), _decoded(items, size, options), strict=True):
        kept = [(image, label) for image, (_, label) in zip(images, chunk, strict=True)
                if not isinstance(image, str)]  # fmt: skip
        bad = [image for image in images if isinstance(image, str)]
        if bad and not options.skip_bad:
            raise DataError(f"{bad[0]}; mend or remove it, or give --skip-bad")
        skipped += bad
        if kept:
            yield np.stack([image for image, _ in kept]), np.array([label for _, label in kept])


def _decoded(items: list[Item], size: int, options: ShardOptions) -> Iterator[list[Any]]:
    """Yield lists of CHUNK images, or messages where one does not decode, in order."""
    paths = [[str(path) for path, _ in chunk] for chunk in _chunked(items)]

    def one(path: str) -> np.ndarray | str:
        return decode(path, size, options)

    if len(items) < RAY_FROM:
        with ThreadPoolExecutor() as pool:
            for chunk in paths:
                yield list(pool.map(one, chunk))
        return
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    rows = ray.data.from_items([{"paths": chunk} for chunk in paths])
    decoded = rows.map(lambda row: {"images": [one(path) for path in row["paths"]]})
    for row in decoded.iter_rows():
        yield row["images"]


def decode(path: str, size: int, options: ShardOptions) -> np.ndarray | str:
    """Return the image as (size, size, 3) uint8, or what is wrong with it."""
    try:
        with Image.open(path) as image:
            pixels_HWC = np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{path}: does not decode as an image: {error}"
    return fit_images(pixels_HWC[None], size, options.fit, options.box)[0]
