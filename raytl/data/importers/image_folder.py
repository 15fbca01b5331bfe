"""torchvision's ImageFolder layout: SOURCE/SPLIT/CLASS/image, or SOURCE/CLASS/image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raytl.data.importers.arranging import Rows, arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions, chunked, need_source
from raytl.data.importers.class_folders import Item, class_folders
from raytl.data.importers.decoding import SIDE, decoded, how_fitted
from raytl.data.writer import Chunk
from raytl.errors import DataError
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn

# What torchvision.datasets.ImageFolder reads.
EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"])


def read_image_folder(source: str | None, options: ShardOptions) -> Imported:
    """Decode every image to RGB at `--size` (224). Folders become splits, or `train` alone where
    there are none, of which `--test` cuts a part off.

    Files that ImageFolder would not read are skipped and listed. An image that does not decode is
    a DataError, or with `--skip-bad` skipped and listed too.
    """
    skipped: list[str] = []
    classes, items = class_folders(Path(need_source(source)), EXTENSIONS, "image", skipped)
    size = options.size or SIDE
    columns = {
        "image": ImageColumn(shape=(size, size, 3), dtype="uint8"),
        "label": LabelColumn(classes=classes),
    }
    splits = {name: _rows(part, options, skipped) for name, part in items.items()}
    found = arranged(columns, splits, options)
    found.skipped = skipped
    found.notes += how_fitted(options) + how_to_cut(found, options)
    return found


def _rows(items: list[Item], options: ShardOptions, skipped: list[str]) -> Rows:
    def chunks(rows: np.ndarray) -> Iterator[Chunk]:
        images = decoded([items[row].path for row in rows], options)
        for part, found in zip(chunked(rows), images, strict=True):
            kept = kept_rows(found, options, skipped)
            if kept:
                yield Chunk({"image": np.stack([found[i] for i in kept])}, part[kept])

    labels = np.array([item.label for item in items], dtype=np.int64)
    return Rows(len(items), chunks, {"label": labels})


def kept_rows(
    found: list[np.ndarray | str], options: ShardOptions, skipped: list[str]
) -> list[int]:
    """Return which of a chunk's rows were read; the messages of the others are appended to
    `skipped`, or with no `--skip-bad` the first of them is raised as a DataError."""
    bad = [message for message in found if isinstance(message, str)]
    if bad and not options.skip_bad:
        raise DataError(f"{bad[0]}; mend or remove it, or give --skip-bad")
    skipped += bad
    return [i for i, row in enumerate(found) if not isinstance(row, str)]
