"""Rows in memory and their targets, (X, y): images, a table of numbers, or texts.

Legend: N rows, F fields, H height, W width, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.fitting import fit_images
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.arrays import as_numbers
from raytl.data.importers.base import Imported, ShardOptions, image_column
from raytl.data.importers.decoding import shape_of
from raytl.data.importers.frames import arrow_table, refuse_other_order
from raytl.data.importers.inputs import fitted_input
from raytl.data.importers.pixels import as_array, is_tensor, need_last, pixels_of
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.tabular import tabular
from raytl.data.importers.targets import target_of
from raytl.data.importers.words import words_of
from raytl.data.stored import Each
from raytl.errors import DataError

IMAGE, TEXT, LABEL = "image", "text", "label"


@dataclass(frozen=True)
class Pair:
    """Rows of one split and their targets, None where no row has one. `rows`: an array, or a list
    of arrays of their own shapes."""

    name: str
    rows: np.ndarray | list[np.ndarray]
    targets: pa.Array | None

    @property
    def what(self) -> str:
        """What the rows are: images, a table, or texts."""
        if isinstance(self.rows, list) or self.rows.ndim in (3, 4):
            return IMAGE
        return TEXT if self.rows.ndim == 1 else "table"


def pair_of(given: Sequence[Any], name: str) -> Pair:
    """Return a pair (X, y). X: images (N, H, W) or (N, H, W, C), of tensors (N, C, H, W); numbers
    (N, F); texts (N,); or a list of images. y: (N,) or (N, 1), None without targets.

    Raises DataError for other shapes, or where they have not as many rows, or pandas' have one
    index in two orders.
    """
    rows, targets = given
    refuse_other_order(rows, targets, name)
    stacked = _rows(rows, name)
    count = len(stacked)
    if not count:
        raise DataError(f"{name}: there are no rows; leave the split out, or give some")
    return Pair(name, stacked, None if targets is None else targets_of(targets, count, name))


def _rows(rows: Any, name: str) -> np.ndarray | list[np.ndarray]:
    if isinstance(rows, list | tuple) and len(rows) and not isinstance(rows[0], str | int | float):
        return images_of([pixels_of(image, f"{name}, row {i}") for i, image in enumerate(rows)])
    values = as_array(rows)
    if values.ndim == 4:
        values = np.moveaxis(values, 1, 3) if is_tensor(rows) else values
        need_last(values.shape, name, tensor=is_tensor(rows))
    texts = values.ndim == 1 and values.dtype.kind in "OUT"
    if not (texts or values.ndim in (2, 3, 4)) or 0 in values.shape[1:]:
        raise DataError(
            f"{name}: X must be images (N, H, W) or (N, H, W, C), numbers (N, F) or texts (N,), "
            f"got {values.dtype} {values.shape}"
        )
    if values.ndim > 2 and values.dtype.kind not in "biuf":
        raise DataError(f"{name}: images are whole numbers or floats, got {values.dtype}")
    if texts:
        odd = next((i for i, text in enumerate(values) if not isinstance(text, str)), None)
        if odd is not None:
            raise DataError(f"{name}, row {odd}: must be a text, got {values[odd]!r:.40}")
    return values


def images_of(images: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """Return images as one array where all have one shape, else as they are."""
    same = len({(image.shape, image.dtype) for image in images}) == 1
    return np.stack(images) if same else images


def targets_of(targets: Any, count: int, name: str) -> pa.Array:
    """Return y as Arrow's. Raises DataError where it is not one value for each of `count` rows."""
    # A list is no array yet: numpy would make texts of all numbers beside one text.
    listed = isinstance(targets, list | tuple)
    plain = listed and all(of is None or isinstance(of, str | int | float) for of in targets)
    values = np.zeros(len(targets)) if plain else as_array(targets)
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)):
        raise DataError(f"{name}: y is one class or number a row, (N,), got {values.shape}")
    if len(values) != count:
        raise DataError(f"{name}: X and y must have as many rows, got {count} and {len(values)}")
    return target_array(targets if plain else values.reshape(-1), name)


def target_array(values: Any, name: str) -> pa.Array:
    """Return targets as Arrow's. Raises DataError for values of several kinds."""
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{name}: y cannot be read: {told}; give one kind of value") from None


def read_pairs(
    pairs: Mapping[str, Pair],
    options: ShardOptions,
    each: Each,
    classes: tuple[str, ...] | None = None,
) -> Imported:
    """Return the dataset that pairs, one a split, make. `classes`: what class numbers are called.

    Raises DataError where splits are not alike, and as `target_of` and `tabular` of rows.
    """
    kinds = {pair.what for pair in pairs.values()}
    if len(kinds) > 1:
        raise DataError(f"all splits must be alike, but these are {' and '.join(sorted(kinds))}")
    if kinds == {IMAGE}:
        return _images(pairs, options, classes)
    tables = {}
    for name, pair in pairs.items():
        assert isinstance(pair.rows, np.ndarray)
        columns: dict[str, Any] = {TEXT: pair.rows} if pair.what == TEXT else _fields(pair.rows)
        columns[options.target or LABEL] = _words(pair, classes)
        tables[name] = arrow_table(columns, pair.name)
    return tabular(tables, _of_columns(options, next(iter(pairs.values()))), each, classes)


def _fields(rows_NF: np.ndarray) -> dict[str, Any]:
    return {f"c{place}": rows_NF[:, place] for place in range(rows_NF.shape[1])}


def _of_columns(options: ShardOptions, pair: Pair) -> ShardOptions:
    found: dict[str, Any] = {"target": options.target or LABEL}
    if pair.what == TEXT:
        found["text"] = (TEXT,)
    return options.model_copy(update=found)


def _words(pair: Pair, classes: tuple[str, ...] | None) -> list[str | None]:
    """Return targets as words, numbers of classes as their names."""
    if pair.targets is None:
        return [None] * len(pair.rows)
    words = words_of(pa.chunked_array([pair.targets]), "y")
    if classes is None or not pa.types.is_integer(pair.targets.type):
        return words
    numbers = pair.targets.to_pylist()
    bad = next((i for i, k in enumerate(numbers) if k is not None and k >= len(classes)), None)
    if bad is not None:
        raise DataError(
            f"{pair.name}, row {bad}: there is no class {numbers[bad]} of {len(classes)} "
            f"({', '.join(classes[:5])}{', …' if len(classes) > 5 else ''})"
        )
    return [None if k is None or k < 0 else classes[k] for k in numbers]


def _images(
    pairs: Mapping[str, Pair], options: ShardOptions, classes: tuple[str, ...] | None
) -> Imported:
    images = _of_one_shape(pairs, options)
    every = list(pairs.values())
    starts = np.cumsum([0, *(len(pair.rows) for pair in every)])

    def place(row: int) -> str:
        of = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{every[of].name}, row {row - starts[of]}"

    label = options.target or LABEL
    words = [word for pair in every for word in _words(pair, classes)]
    target = target_of(label, words, options, place, classes)
    columns = {IMAGE: image_column(next(iter(images.values())), options), label: target.column}
    rows = {
        name: rows_of(
            {IMAGE: fitted_input(columns[IMAGE], of_split, options)}, np.arange(len(of_split)),
            {label: target.values[start : start + len(of_split)]}, None, options,
        )
        for (name, of_split), start in zip(images.items(), starts, strict=False)
    }  # fmt: skip
    found = arranged(columns, rows, options)
    found.notes += [*target.notes, *how_to_cut(found, options)]
    return found


def _of_one_shape(pairs: Mapping[str, Pair], options: ShardOptions) -> dict[str, np.ndarray]:
    """Return each split's images as one array: those of several sizes fitted. Raises DataError
    where their channels or kinds of numbers differ, ConfigError without a size for several."""
    first = next(iter(pairs.values())).rows[0]
    for pair in pairs.values():
        for row, image in enumerate(pair.rows if isinstance(pair.rows, list) else pair.rows[:1]):
            channels, kind = image.shape[2:], image.dtype
            if (channels, kind) != (first.shape[2:], first.dtype):
                raise DataError(
                    f"{pair.name}, row {row}: all images must have the same channels and kind of "
                    f"number, but this one is {kind} {image.shape} and the first "
                    f"{first.dtype} {first.shape}; convert them, as by image.convert('RGB')"
                )
    sizes = {image.shape[:2] for pair in pairs.values() for image in pair.rows}
    size = shape_of(sizes, options)[0]
    found = {}
    for name, pair in pairs.items():
        images = pair.rows
        if len(sizes) > 1:
            each = [
                fit_images(image.reshape(1, *image.shape[:2], -1), size, options.fit, options.box)
                for image in images
            ]
            images = np.concatenate(each)
        assert isinstance(images, np.ndarray)
        found[name] = as_numbers(images[..., None] if images.ndim == 3 else images)
    return found
