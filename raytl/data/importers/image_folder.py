"""torchvision's ImageFolder layout: SOURCE/SPLIT/CLASS/image, or SOURCE/CLASS/image.

Legend: H height, W width, C channels.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from raytl.data.fitting import fit_images
from raytl.data.importers.base import (
    CHUNK,
    Imported,
    ShardOptions,
    need_source,
    shuffled,
)
from raytl.data.schema import FILE_NAME
from raytl.data.writer import Chunk
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn

# What torchvision.datasets.ImageFolder reads.
EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"])
SIDE = 224  # where no size is given
RAY_FROM = 2000  # files: with fewer, starting Ray costs more than its processes gain
MOST_PIXELS = 89_478_485  # of an image that is decoded: where Pillow begins to warn
NO_BYTES = ("I", "F")  # how the names of Pillow's modes begin that hold more than 8 bits a channel


class Item(NamedTuple):
    """One image file."""

    path: Path
    label: int
    place: int  # within its split, by class and name


def read_image_folder(source: str | None, options: ShardOptions) -> Imported:
    """Decode every image to RGB at `--size` (224), in shuffled order. Folders become splits, or
    `train` alone where there are none; every split must have the same classes. Links are followed,
    each folder once.

    Files that ImageFolder would not read are skipped and listed. An image that does not decode is
    a DataError, or with `--skip-bad` skipped and listed too.
    """
    root = Path(need_source(source))
    if not root.is_dir():
        raise DataError(
            f"{printable(root)}: no such folder; give SOURCE/SPLIT/CLASS/image or "
            "SOURCE/CLASS/image"
        )
    size = options.size or SIDE
    skipped: list[str] = []
    folders = _splits(root, skipped)
    classes = _classes(folders)
    items = {name: _items(path, classes, skipped) for name, path in folders.items()}
    splits = {
        name: _chunks([part[i] for i in shuffled(len(part), name)], size, options, skipped)
        for name, part in items.items()
    }
    columns = {
        "image": ImageColumn(shape=(size, size, 3), dtype="uint8"),
        "label": LabelColumn(classes=classes),
    }
    notes = [_how_fitted(options)] if options.size is None else []
    return Imported(columns, splits, sum(map(len, items.values())), skipped, notes)


def _how_fitted(options: ShardOptions) -> str:
    done = {"stretch": "stretched to", "pad": "padded into", "crop": "cropped to"}[options.fit]
    return (
        f"images of every size are {done} {SIDE} x {SIDE} pixels; "
        "--size and --fit stretch, pad or crop say otherwise"
    )


def _children(folder: Path) -> list[Path]:
    """Return the folders in a folder that may be splits or classes."""
    inside = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted(p for p in inside if p.is_dir() and not _no_class(p))


def _no_class(folder: Path) -> str:
    """Return why a folder is neither a split nor a class; empty where it may be."""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        return "a link to a folder above it"
    return "a dataset of raytl" if (folder / FILE_NAME).is_file() else ""


def _splits(root: Path, skipped: list[str]) -> dict[str, Path]:
    children = _children(root)
    nested = [child for child in children if _children(child)]
    if not nested:
        return {"train": root}
    _list_strays(root, skipped)
    for child in children:
        if child not in nested:
            skipped.append(f"{printable(child)}: no class folders in it, beside splits that have")
    return {child.name: child for child in nested}


def _classes(folders: dict[str, Path]) -> tuple[str, ...]:
    names = {split: tuple(c.name for c in _children(folder)) for split, folder in folders.items()}
    first, classes = next(iter(names.items()))
    if len(classes) < 2:
        place = printable(next(iter(folders.values())))
        raise DataError(
            f"{place}: a classification needs two class folders or more, got {list(classes)}; "
            "folders of SOURCE that have folders in them are taken for splits"
        )
    for split, others in names.items():
        differing = sorted(set(classes) ^ set(others))
        if differing:
            here, there = (first, split) if differing[0] in classes else (split, first)
            raise DataError(
                f"every split must have the same class folders, but {printable(here)} has "
                f"'{printable(differing[0])}', which {printable(there)} lacks "
                f"({len(differing)} such)"
            )
    for name in classes:
        if printable(name) != name:
            raise DataError(f"class folder '{printable(name)}': its name is no UTF-8; rename it")
    return classes


def _items(folder: Path, classes: tuple[str, ...], skipped: list[str]) -> list[Item]:
    _list_strays(folder, skipped)
    items: list[Item] = []
    for number, name in enumerate(classes):
        for path in _files(folder / name, set(), skipped):
            if path.suffix.lower() in EXTENSIONS:
                items.append(Item(path, number, len(items)))
            else:
                what = printable(path.suffix) or "no extension"
                skipped.append(f"{printable(path)}: {what} is no image type")
    return items


def _list_strays(folder: Path, skipped: list[str]) -> None:
    """List what stands beside class or split folders and is none."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            reason = _no_class(path)
            if reason:
                skipped.append(f"{printable(path)}: {reason}")
        elif not path.exists():
            skipped.append(f"{printable(path)}: a link that leads nowhere")
        elif path.suffix.lower() in EXTENSIONS:
            skipped.append(f"{printable(path)}: in no class folder")


def _files(folder: Path, seen: set[Path], skipped: list[str]) -> Iterator[Path]:
    """Yield every file below a folder in sorted order; a folder that links lead to again, once."""
    real = folder.resolve()
    if real in seen:
        skipped.append(f"{printable(folder)}: a link to a folder that was read already")
        return
    seen.add(real)
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            reason = _no_class(path)
            if reason:
                skipped.append(f"{printable(path)}: {reason}")
            else:
                yield from _files(path, seen, skipped)
        elif path.is_file():
            yield path
        else:
            skipped.append(f"{printable(path)}: a link that leads nowhere, or no regular file")


def _chunked(items: list[Item]) -> list[list[Item]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


def _chunks(
    items: list[Item], size: int, options: ShardOptions, skipped: list[str]
) -> Iterator[Chunk]:
    for chunk, images in zip(_chunked(items), _decoded(items, size, options), strict=True):
        bad = [image for image in images if isinstance(image, str)]
        if bad and not options.skip_bad:
            raise DataError(f"{bad[0]}; mend or remove it, or give --skip-bad")
        skipped += bad
        kept = [i for i, image in enumerate(images) if not isinstance(image, str)]
        if kept:
            values = {
                "image": np.stack([images[i] for i in kept]),
                "label": np.array([chunk[i].label for i in kept]),
            }
            yield Chunk(values, np.array([chunk[i].place for i in kept]))


def _decoded(items: list[Item], size: int, options: ShardOptions) -> Iterator[list[Any]]:
    """Yield lists of CHUNK images, or messages where one does not decode, in order."""
    paths = [[str(item.path) for item in chunk] for chunk in _chunked(items)]

    def one(path: str) -> np.ndarray | str:
        return decode(path, size, options)

    if len(items) < RAY_FROM:
        with ThreadPoolExecutor() as pool:
            for chunk in paths:
                with warnings.catch_warnings():  # of huge images, which `decode` refuses
                    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                    images = list(pool.map(one, chunk))
                yield images
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
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}"
                )
            if image.mode.startswith(NO_BYTES):
                raise DataError(
                    f"mode {image.mode} has more than 8 bits a channel, which RGB would cut off"
                )
            pixels_HWC = np.asarray(image.convert("RGB"))
        return fit_images(pixels_HWC[None], size, options.fit, options.box)[0]
    except DataError as error:
        return f"{printable(path)}: {error}"
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{printable(path)}: does not decode as an image: {printable(str(error))}"
