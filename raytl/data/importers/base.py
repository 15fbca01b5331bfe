"""What an importer is given and gives back."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from raytl.config import Frozen
from raytl.data.fitting import Fit, fit_images
from raytl.data.schema import SplitName
from raytl.data.writer import Chunk, Chunks
from raytl.errors import ConfigError, DataError
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

CHUNK = 256  # rows that are read, fitted and written together
LARGEST_SIDE = 4096  # pixels of a stored image
ROWS = (10, 10_000_000)  # rendered images


def _side(side: int) -> int:
    if not 1 <= side <= LARGEST_SIDE:
        raise ValueError(f"must be 1 to {LARGEST_SIDE} pixels")
    return side


def _shape(text: str) -> str:
    sides = text.split("x")
    whole = len(sides) in (2, 3) and all(s.isascii() and s.isdigit() and len(s) < 9 for s in sides)
    if not whole or not all(1 <= int(side) <= LARGEST_SIDE for side in sides):
        raise ValueError(f"must be HxW or HxWxC, such as 16x16, each 1 to {LARGEST_SIDE}")
    return text


def _class_names(text: str) -> str:
    if "," in text:
        distinct_names([name.strip() for name in text.split(",")])
    return text


def distinct_names(names: list[str]) -> tuple[str, ...]:
    """Return class names as a tuple; ValueError where one is empty or stands there twice."""
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"the names of classes must differ, but '{name}' stands there {times} times"
        )
    if "" in names:
        raise ValueError("every class must have a name, but one is empty")
    return tuple(names)


def _rows(rows: int) -> int:
    if not ROWS[0] <= rows <= ROWS[1]:
        raise ValueError(f"must be {ROWS[0]} to {ROWS[1]:,} images")
    return rows


Side = Annotated[int, AfterValidator(_side)]


class ShardOptions(Frozen):
    """The options of `raytl shard`; None is the importer's own default."""

    size: Side | None = None  # side of the stored images, pixels
    fit: Fit = "stretch"  # how another shape is fitted
    box: Side | None = None  # scale into a centred box of this side
    splits: dict[SplitName, tuple[str, str]] | None = None  # split → (images' key, labels' key)
    image_shape: Annotated[str, AfterValidator(_shape)] | None = None  # HxW or HxWxC
    classes: Annotated[str, AfterValidator(_class_names)] | None = None  # a key, or names by commas
    skip_bad: bool = False
    rows: Annotated[int, AfterValidator(_rows)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    root: str | None = None  # folder of the files

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.size is not None and self.box is not None and self.box > self.size:
            raise ValueError(f"--box <= --size must hold, got box={self.box}, size={self.size}")
        keys = [images for images, _ in (self.splits or {}).values()]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(
                    f"--split: each split needs images of its own, but '{key}' is named for two"
                )
        return self


@dataclass
class Imported:
    """What there is to write. The chunks of `splits` may be made as they are asked for; `skipped`
    may grow while they are."""

    columns: Mapping[str, Column]
    splits: Mapping[str, Chunks]
    rows: int  # in all, for progress; skipped ones included
    skipped: list[str] = field(default_factory=list)  # files left out, and why
    notes: list[str] = field(default_factory=list)  # what was done that nobody asked for


@dataclass(frozen=True)
class Importer:
    """`uses` names the options that mean something to this kind, besides size, fit and box."""

    read: Callable[[str | None, ShardOptions], Imported]
    uses: frozenset[str] = frozenset()
    source: Literal["needed", "optional", "none"] = "needed"


def need_source(source: str | None) -> str:
    assert source is not None, "importers that need a source get one"
    return source


def shuffled(rows: int, split: str) -> np.ndarray:
    """Return the order in which a split's rows are stored: a permutation with a seed of its own, so
    that any leading part, and each batch of a streaming feed, mixes the classes.

    Importers whose rows come one after the other, in an order that is drawn already, need it not.
    """
    return np.random.default_rng(seed_for("stored order", split)).permutation(rows)


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


def imported(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    options: ShardOptions,
) -> Imported:
    """Shuffle and fit images and labels that are in memory already, a chunk at a time."""
    first, _ = next(iter(splits.values()))
    chunks = {name: _chunks(name, *arrays, options) for name, arrays in splits.items()}
    rows = sum(len(labels) for _, labels in splits.values())
    columns = {"image": image_column(first, options), "label": LabelColumn(classes=classes)}
    return Imported(columns, chunks, rows)


def _chunks(
    name: str, images: np.ndarray, labels: np.ndarray, options: ShardOptions
) -> Iterator[Chunk]:
    order = shuffled(len(labels), name)
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        yield Chunk({"image": fitted(images[rows], options), "label": labels[rows]}, rows)


def flag(name: str) -> str:
    """Return how the command line calls a field of ShardOptions."""
    return "--split" if name == "splits" else f"--{name.replace('_', '-')}"


def refuse_unused(kind: str, importer: Importer, options: ShardOptions) -> None:
    """Raise ConfigError for an option that this kind would silently ignore."""
    allowed = importer.uses | {"size", "fit", "box"}
    for name in options.model_fields_set:
        if name not in allowed:
            raise ConfigError(
                f"shard {kind}: option {flag(name)} means nothing to this kind; it takes "
                + ", ".join(map(flag, sorted(allowed)))
            )
