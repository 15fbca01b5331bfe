"""torchvision's ImageFolder layout: SOURCE/SPLIT/CLASS/image, or SOURCE/CLASS/image."""

import numpy as np

from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.importers.decoding import how_fitted
from raytl.data.importers.inputs import image_input
from raytl.data.importers.labelled_files import labelled_files
from raytl.data.importers.listing import entry_of
from raytl.data.importers.split_rows import rows_of

# What torchvision.datasets.ImageFolder reads.
EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"])


def read_image_folder(source: str | None, options: ShardOptions) -> Imported:
    """Decode every image to RGB at `--size` (224). Folders become splits, or `train` alone where
    there are none, of which `--test` cuts a part off. With `--unlabelled` and `--classes` images
    may also stand in no class folder: they have no label.

    Files that ImageFolder would not read are skipped and listed. An image that does not decode is
    a DataError, or with `--skip-bad` skipped and listed too.
    """
    skipped: list[str] = []
    root = entry_of(need_source(source))
    label, items, notes = labelled_files(root, EXTENSIONS, "image", options, skipped)
    images = {
        name: image_input([item.path for item in part], options) for name, part in items.items()
    }
    splits = {
        name: rows_of(
            {"image": images[name]}, np.arange(len(part)),
            {"label": np.array([item.label for item in part], dtype=np.int64)},
            None, options,
        )
        for name, part in items.items()
    }  # fmt: skip
    columns = {"image": next(iter(images.values())).column, "label": label}
    found = arranged(columns, splits, options)
    found.skipped = skipped
    found.notes += notes + how_fitted(options) + how_to_cut(found, options)
    return found
