"""What an importer is given and gives back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from raytl.data.fitting import fit_images
from raytl.data.importers.options import LARGEST_SIDE, ShardOptions, distinct_names, flag
from raytl.data.stored import Chunks, Each, StoredRows
from raytl.errors import ConfigError, DataError
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.seeds import seed_for

__all__ = [
    "CHUNK", "Imported", "Importer", "ShardOptions", "distinct_names", "first_folder", "fitted",
    "flag", "image_column", "need_source", "refuse_unused", "shuffled",
]  # fmt: skip

CHUNK = 256  # rows that are read, fitted and written together
FITTING = frozenset({"size", "fit", "box"})  # options of kinds that have images
CUTTING = frozenset({"test", "validation", "seed"})  # of kinds whose rows can be parted


@dataclass
class Imported:
    """What there is to write: splits that are read in parts, or chunks that may be made as they are
    asked for."""

    columns: Mapping[str, Column]
    splits: Mapping[str, Chunks | StoredRows]
    rows: int  # in all, for progress; skipped ones included
    skipped: list[str] = field(default_factory=list)  # files left out, and why
    notes: list[str] = field(default_factory=list)  # what was done that nobody asked for


@dataclass(frozen=True)
class Importer:
    """`uses` names the options that mean something to this kind. With `source` "optional" the
    reader says what else it needs. With `looks` it looks into many files before any is written, and
    is also given who does so, an `Each`."""

    read: Callable[..., Imported]  # of the source and its options
    uses: frozenset[str] = frozenset()
    source: Literal["needed", "optional", "none"] = "needed"
    looks: bool = False
    alone: bool = False  # one process reads its rows
    far: bool = False  # SOURCE may be a URL

    def imported(self, source: str | None, options: ShardOptions, each: Each) -> Imported:
        """Return what there is to write; raises as the kind's reader."""
        if self.looks:
            return self.read(source, options, each)
        return self.read(source, options)


def need_source(source: str | None) -> str:
    assert source is not None, "importers that need a source get one"
    return source


def first_folder(above: Path, names: Sequence[str]) -> Path | None:
    """Return the first folder of these names, in small letters or others, that there is in another;
    None where there is none."""
    exact = next((above / name for name in names if (above / name).is_dir()), None)
    if exact is not None or not above.is_dir():
        return exact
    there = {path.name.lower(): path for path in sorted(above.iterdir()) if path.is_dir()}
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def shuffled(rows: int, split: str) -> np.ndarray:
    """Return the order in which a split's rows are stored: a permutation with a seed of its own, so
    that any leading part, and each batch of a streaming feed, mixes the classes.

    Importers whose rows come one after the other, in an order that is drawn already, need it not.
    """
    return np.random.default_rng(seed_for("stored order", split)).permutation(rows)


def chunked(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield row numbers, those of a chunk at a time."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def fitted(images_NHWC: np.ndarray, options: ShardOptions) -> np.ndarray:
    """Apply size, fit and box. `box` without a size frames the images' own side."""
    if options.size is None and options.box is None:
        return images_NHWC
    size = options.size or max(images_NHWC.shape[1:3])
    return fit_images(images_NHWC, size, options.fit, options.box)


def image_column(images_NHWC: np.ndarray, options: ShardOptions) -> ImageColumn:
    """Return the column that holds such images once they are fitted: uint8 or float32."""
    dtype: Literal["uint8", "float32"] = "uint8" if images_NHWC.dtype == np.uint8 else "float32"
    height, width, channels = images_NHWC.shape[1:]
    if options.size is not None or options.box is not None:
        height = width = options.size or max(height, width)
    if max(height, width, channels) > LARGEST_SIDE:
        raise DataError(
            f"images must have at most {LARGEST_SIDE} pixels a side and as many channels, got "
            f"{height} x {width} x {channels}; give --size, or images as (N, H, W, C)"
        )
    return ImageColumn(shape=(height, width, channels), dtype=dtype)


def refuse_unused(kind: str, importer: Importer, options: ShardOptions) -> None:
    """Raise ConfigError for an option that this kind would silently ignore."""
    for name in options.model_fields_set:
        if name not in importer.uses:
            raise ConfigError(
                f"shard {kind}: option {flag(name)} means nothing to this kind; it takes "
                + (", ".join(map(flag, sorted(importer.uses))) or "none")
            )
