"""Places that tests share."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.schema import DatasetInfo
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn

ROOT = Path(__file__).parent.parent
SEARCH_SPACES = ROOT / "search_spaces"
REAL_DATA = ROOT.parent / "shared" / "data"  # optional
SECRET = "not-for-any-file-0123456789"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "raytl-test", "AWS_SECRET_ACCESS_KEY": SECRET}  # of S3 servers

Pairs = Iterable[tuple[np.ndarray, np.ndarray]]  # images (N, H, W, C) and labels (N,)


def write_images(
    out: Path,
    image: ImageColumn,
    classes: tuple[str, ...],
    splits: Mapping[str, Pairs],
    **options: Any,
) -> DatasetInfo:
    """Write a dataset of images and labels that come in the source's own order."""
    columns = {"image": image, "label": LabelColumn(classes=classes)}
    chunks = {name: list(_chunks(pairs)) for name, pairs in splits.items()}
    return write_dataset(out, columns, chunks, {}, **options)


def _chunks(pairs: Pairs) -> Iterable[Chunk]:
    rows = 0
    for images, labels in pairs:
        yield Chunk({"image": images, "label": labels}, np.arange(rows, rows + len(labels)))
        rows += len(labels)
