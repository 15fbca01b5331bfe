"""Images and their masks: a folder of each, files of one pair with one name.

Legend: N rows, H height, W width.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from raytl.data.fitting import fit_images
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.importers.decoding import (
    TURNED,
    is_turned,
    shape_of,
    unwarned,
    upright,
    upright_size,
)
from raytl.data.importers.image_folder import EXTENSIONS
from raytl.data.importers.inputs import Bad, Digest, Input, Reading, seal_files, shaped_input
from raytl.data.importers.mask_pairs import Pair, mask_pairs
from raytl.data.importers.split_rows import rows_of
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.column import Column
from raytl.tasks.mask_column import MOST_CLASSES, VOID, MaskColumn

KINDS = ("1", "L", "P")  # Pillow's modes of a number a pixel, of 8 bits at most
LOSSY = ("JPEG", "MPO")
MOST_ABSENT = 10  # numbers for each that masks have: with more, values are shades, not numbers


class Seen(NamedTuple):
    """What the files of all masks have: the values of their pixels, and the images' sizes,
    (H, W)."""

    values: np.ndarray
    sizes: set[tuple[int, int]]


def read_mask_folder(source: str | None, options: ShardOptions) -> Imported:
    """Read images and masks of one name: SOURCE/images and SOURCE/masks, SOURCE/SPLIT and
    SOURCE/SPLIT_masks, SOURCE/SPLIT/images and SOURCE/SPLIT/masks, or SOURCE/images/SPLIT and
    SOURCE/masks/SPLIT (see `mask_pairs`).

    A mask is a palette, grey or black and white file whose pixels are class numbers; of 0 and 255
    alone 255 is class 1. `--classes` names the classes, `--void` is the value of pixels without
    one (255). All images have one size, or `--size` and `--fit` make them so; masks are scaled to
    the nearest pixel. With `--unlabelled` an image may lack its mask. Raises DataError for a mask
    that is none, has no pixel with a class, or is of another size than its image, or with
    `--skip-bad` skips both.
    """
    skipped: list[str] = []
    splits = mask_pairs(Path(need_source(source)), EXTENSIONS, options.unlabelled, skipped)
    pairs = [pair for part in splits.values() for pair in part]
    pairs, seen = _looked_at(pairs, options, skipped)
    of_value, classes = _classes(seen.values, options)
    notes = _notes(seen.values, of_value, classes, options)
    shape = shape_of(seen.sizes, options)
    column = MaskColumn(shape=shape, classes=classes, nulls=options.unlabelled)
    read = partial(_masks, of_value=of_value, shape=shape, options=options)
    inputs = {
        "image": shaped_input([pair.image for pair in pairs], shape, options),
        "mask": Input(column, [pair.mask for pair in pairs], Reading(np.stack, _seal, read)),
    }
    split_of = np.array([pair.split for pair in pairs])
    rows = {
        name: rows_of(inputs, np.flatnonzero(split_of == name), {}, None, options)
        for name in splits
        if (split_of == name).any()
    }
    columns: dict[str, Column] = {name: one.column for name, one in inputs.items()}
    found = arranged(columns, rows, options)
    found.skipped = skipped
    found.notes += [*notes, *how_to_cut(found, options)]
    return found


def _looked_at(
    pairs: Sequence[Pair], options: ShardOptions, skipped: list[str]
) -> tuple[list[Pair], Seen]:
    """Look at every mask, and at its image's size; return the pairs that are kept."""
    values, sizes, kept = np.zeros(VOID + 1, bool), set(), []
    with ThreadPoolExecutor() as pool, unwarned():
        for pair, found in zip(pairs, pool.map(_seen, pairs), strict=True):
            if isinstance(found, str):
                if not options.skip_bad:
                    raise DataError(f"{found}; mend or remove it, or give --skip-bad")
                skipped.append(found)
                continue
            size, of_mask = found
            sizes.add(size)
            values |= of_mask
            kept.append(pair)
    if not values.any():
        why = f": {skipped[-1]}" if skipped else "; look at the source"
        raise DataError(f"none of the images has a mask that can be read{why}")
    return kept, Seen(np.flatnonzero(values), sizes)


def _seen(pair: Pair) -> tuple[tuple[int, int], np.ndarray] | str:
    """Return the image's size and which values its mask has, or what is wrong with the pair."""
    try:
        with Image.open(pair.image) as opened:
            turned, size = is_turned(opened), upright_size(opened)
        values = np.zeros(VOID + 1, bool)
        if pair.mask is not None:
            numbers = _numbers(pair.mask)
            if numbers.shape != size:
                here, there = (f"{width} x {height}" for height, width in (numbers.shape, size))
                how = TURNED if turned else ""
                return (
                    f"{printable(pair.mask)}: a mask of {here} pixels for an image of {there}{how}"
                )
            values[np.unique(numbers)] = True
        return size, values
    except DataError as error:
        return str(error)
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{printable(pair.image)}: does not decode: {printable(str(error))}"


def _numbers(path: Path) -> np.ndarray:
    """Return a mask file's pixels, uint8 (H, W). Raises DataError where they are no numbers."""
    try:
        with Image.open(path) as opened:
            if opened.mode not in KINDS:
                raise DataError(
                    f"{printable(path)}: a mask has one number a pixel, palette or grey, of 8 bits "
                    f"at most, but its mode is {opened.mode}; write class numbers instead"
                )
            if opened.format in LOSSY:
                raise DataError(
                    f"{printable(path)}: a mask must keep its pixels' numbers, and {opened.format} "
                    "changes them; write it as PNG"
                )
            return np.asarray(upright(opened), dtype=np.uint8)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        message = f"{printable(path)}: does not decode as a mask: {printable(str(error))}"
        raise DataError(message) from None


def _classes(values: np.ndarray, options: ShardOptions) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class number of every value, uint8 (256,), and the classes' names."""
    of_value = np.full(VOID + 1, VOID, np.uint8)
    named = options.listed_classes
    black_and_white = options.void is None and set(values.tolist()) == {0, VOID}
    if black_and_white:
        of_value[[0, VOID]] = [0, 1]
        most = 1
    else:
        void = VOID if options.void is None else options.void
        numbers = values[values != void]
        most = int(numbers.max(initial=0))
        of_value[numbers] = numbers
    count = most + 1 if named is None else len(named)
    if not 2 <= count <= MOST_CLASSES or most >= count:
        raise DataError(
            f"masks must have 2 to {MOST_CLASSES} classes, numbers from 0 on, but they have "
            f"the values {_listed(values)} for {count} classes; give all --classes, and --void for "
            "the value of pixels without a class"
        )
    there = len(set(values.tolist()) - {VOID if options.void is None else options.void})
    if named is None and not black_and_white and count > MOST_ABSENT * there:
        raise DataError(
            f"masks have the values {_listed(values)}, which as class numbers would be {count} "
            "classes, most of them in no mask; write the numbers 0, 1, 2, … instead, or give all "
            "--classes"
        )
    usual = ("background", "foreground") if black_and_white else tuple(map(str, range(count)))
    return of_value, named or usual


def _notes(
    values: np.ndarray, of_value: np.ndarray, classes: tuple[str, ...], options: ShardOptions
) -> list[str]:
    """Return what was decided of values that nobody said anything about."""
    notes = []
    absent = sorted(set(range(len(classes))) - set(of_value[values].tolist()))
    if absent and options.classes is None:
        notes.append(f"classes that are in no mask: {_listed(np.array(absent))}")
    if options.void is None and VOID in values and of_value[VOID] == VOID:
        notes.append(f"pixels of {VOID} have no class; --void says which value has none")
    return notes


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(map(str, values[:12].tolist()))
    return f"{shown}, … {values[-1]}" if len(values) > 12 else shown


def _seal(masks: Sequence[Path | None], digest: Digest) -> None:
    seal_files([mask for mask in masks if mask is not None], digest)


def _masks(
    masks: Sequence[Path | None],
    of_value: np.ndarray,
    shape: tuple[int, int],
    options: ShardOptions,
) -> list[np.ndarray | Bad]:
    with ThreadPoolExecutor() as pool, unwarned():
        return list(pool.map(lambda mask: _mask(mask, of_value, shape, options), masks))


def _mask(
    mask: Path | None, of_value: np.ndarray, shape: tuple[int, int], options: ShardOptions
) -> np.ndarray | Bad:
    if mask is None:
        return np.full(shape, VOID, np.uint8)
    try:
        numbers_HW = of_value[_numbers(mask)]
    except DataError as error:
        return Bad(str(error))
    if options.size is not None:
        numbers_HW = fit_images(
            numbers_HW[None, ..., None], options.size, options.fit, options.box, outside=VOID,
            nearest=True,
        )[0, ..., 0]  # fmt: skip
    if not options.unlabelled and (numbers_HW == VOID).all():
        return Bad(f"{printable(mask)}: has no pixel with a class")
    return np.asarray(numbers_HW)
