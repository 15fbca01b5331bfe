"""What an importer is given and gives back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from raytl.config import Frozen
from raytl.data.fitting import Fit, fit_images
from raytl.data.schema import ImageColumn
from raytl.data.writer import Chunk
from raytl.errors import ConfigError


class ShardOptions(Frozen):
    """The options of `raytl shard`; None is the importer's own default."""

    size: PositiveInt | None = None  # side of the stored images, pixels
    fit: Fit = "stretch"  # how another shape is fitted
    box: PositiveInt | None = None  # scale into a centred box of this side
    splits: dict[str, tuple[str, str]] | None = None  # split → (images' key, labels' key)
    image_shape: Annotated[str, Field(pattern=r"^\d+x\d+(x\d+)?$")] | None = None  # HxW or HxWxC
    classes: str | None = None  # a key of the file, or names with commas
    skip_bad: bool = False
    rows: PositiveInt | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    root: str | None = None  # folder of the files


@dataclass
class Imported:
    """What there is to write. The chunks of `splits` may be made as they are asked for; `skipped`
    may grow while they are."""

    image: ImageColumn
    classes: tuple[str, ...]
    splits: Mapping[str, Iterable[Chunk]]
    rows: int  # in all, for progress; skipped ones included
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Importer:
    """`uses` names the options that mean something to this kind, besides size, fit and box."""

    read: Callable[[str | None, ShardOptions], Imported]
    uses: frozenset[str] = frozenset()
    needs_source: bool = True


def need_source(source: str | None) -> str:
    assert source is not None, "importers with needs_source get one"
    return source


def fitted(images_NHWC: np.ndarray, options: ShardOptions) -> np.ndarray:
    """Apply size, fit and box. `box` without a size frames the images' own side."""
    if options.size is None and options.box is None:
        return images_NHWC
    size = options.size or max(images_NHWC.shape[1:3])
    return fit_images(images_NHWC, size, options.fit, options.box)


def image_column(images_NHWC: np.ndarray) -> ImageColumn:
    """Return the column that holds such images: uint8 or float32."""
    dtype: Literal["uint8", "float32"] = "uint8" if images_NHWC.dtype == np.uint8 else "float32"
    height, width, channels = images_NHWC.shape[1:]
    return ImageColumn(shape=(height, width, channels), dtype=dtype)


def imported(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    options: ShardOptions,
) -> Imported:
    """Fit arrays that are in memory already."""
    ready = {name: [(fitted(images, options), labels)] for name, (images, labels) in splits.items()}
    first = next(iter(ready.values()))[0][0]
    rows = sum(len(labels) for _, labels in splits.values())
    return Imported(image_column(first), classes, ready, rows)


def refuse_unused(kind: str, importer: Importer, options: ShardOptions) -> None:
    """Raise ConfigError for an option that this kind would silently ignore."""
    allowed = importer.uses | {"size", "fit", "box"}
    for name in options.model_fields_set:
        if name not in allowed:
            raise ConfigError(
                f"shard {kind}: option --{name.replace('_', '-')} means nothing to this kind; "
                f"it takes {', '.join(sorted(allowed))}"
            )
