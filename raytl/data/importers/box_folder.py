"""Images and boxes: a folder as Pascal VOC or COCO has it.

Legend: N rows, H height, W width.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.data.importers.annotated import Annotated, Mended, mended, refuse_shares
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.importers.coco_boxes import coco_rows
from raytl.data.importers.decoding import TURNED, is_turned, shape_of, unwarned, upright_size
from raytl.data.importers.inputs import ragged_input, shaped_input
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.voc_boxes import dataset_in, voc_rows
from raytl.data.importers.yolo import refuse_yolo
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.column import Column
from raytl.tasks.box_column import BoxColumn

LAYOUTS = (
    "give SOURCE/JPEGImages and SOURCE/Annotations (VOC), images with an XML file each in SOURCE "
    "or SOURCE/SPLIT, or a JSON file a split (COCO)"
)


def read_box_folder(source: str | None, options: ShardOptions) -> Imported:
    """Read images and their boxes, of XML files (see `voc_rows`) or JSON files (`coco_rows`).

    `--classes` names the classes and their order, which is else that of the alphabet. All images
    have one size, or `--size` and `--fit` make them so, and boxes move with them. A box without an
    area, outside its image, or of which less than a pixel is left is left out, one partly outside
    is cut off; crowds and boxes that are marked difficult are left out; all are counted in notes.
    With `--unlabelled` an image may lack its XML file. Raises DataError for files that are no
    annotations or images, or with `--skip-bad` skips images that do not decode.
    """
    root = Path(need_source(source))
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder; {LAYOUTS}")
    root = dataset_in(root)
    skipped: list[str] = []
    rows = coco_rows(root) or voc_rows(root, options.unlabelled, skipped)
    if not rows:
        refuse_yolo(root)
        raise DataError(f"{printable(root)}: no images with boxes are found; {LAYOUTS}")
    rows, sizes = _with_sizes(rows, options, skipped)
    shape = shape_of(set(sizes), options)
    refuse_shares(rows)
    found = Mended()
    rows = [mended(row, size, options, found) for row, size in zip(rows, sizes, strict=True)]
    classes = _classes(rows, options)
    done = _arranged(rows, shape, classes, options, skipped)
    done.skipped = skipped
    done.notes += [*found.notes(), *how_to_cut(done, options)]
    return done


def _with_sizes(
    rows: Sequence[Annotated], options: ShardOptions, skipped: list[str]
) -> tuple[list[Annotated], list[tuple[int, int]]]:
    """Return the rows whose images can be opened, and their sizes, (H, W)."""
    kept, sizes = [], []
    with ThreadPoolExecutor() as pool, unwarned():
        for row, found in zip(rows, pool.map(_size, rows), strict=True):
            if isinstance(found, str):
                if not options.skip_bad:
                    raise DataError(f"{found}; mend or remove it, or give --skip-bad")
                skipped.append(found)
                continue
            kept.append(row)
            sizes.append(found)
    if not any(row.boxes_n4 is not None and len(row.boxes_n4) for row in kept):
        raise DataError("none of the images that can be read has a box; look at the source")
    return kept, sizes


def _size(row: Annotated) -> tuple[int, int] | str:
    """Return the image's size, or what is wrong with it."""
    try:
        with Image.open(row.image) as opened:
            turned, size = is_turned(opened), upright_size(opened)
    except Exception as error:  # Pillow's decoders raise whatever the bytes provoke
        return f"{printable(row.image)}: does not decode: {printable(str(error))}"
    if row.size not in (None, size):
        here, there = (f"{width} x {height}" for height, width in (size, row.size or size))
        how = TURNED if turned else ""
        return f"{printable(row.image)}: boxes of {there} pixels for an image of {here}{how}"
    return size


def _classes(rows: Sequence[Annotated], options: ShardOptions) -> tuple[str, ...]:
    found = sorted({name for row in rows for name in row.classes})
    named = options.listed_classes
    if named is None:
        if not found:
            raise DataError(
                "no box is left in any image; look at the source, or give another --fit or --size"
            )
        return tuple(found)
    unknown = [name for name in found if name not in named]
    if unknown:
        raise DataError(
            f"--classes: boxes are of class '{printable(unknown[0])}' too, which is not among "
            f"{', '.join(named)} ({len(unknown)} such); name it"
        )
    return named


def _arranged(
    rows: Sequence[Annotated],
    shape: tuple[int, int],
    classes: tuple[str, ...],
    options: ShardOptions,
    skipped: list[str],
) -> Imported:
    number = {name: k for k, name in enumerate(classes)}
    boxes: list[Any] = [_numbered(row, number) for row in rows]
    column = BoxColumn(shape=shape, classes=classes, nulls=options.unlabelled)
    inputs = {
        "image": shaped_input([row.image for row in rows], shape, options),
        "boxes": ragged_input(column, boxes),
    }
    split_of = np.array([row.split for row in rows])
    splits = {
        name: rows_of(inputs, np.flatnonzero(split_of == name), {}, None, options)
        for name in dict.fromkeys(split_of.tolist())
    }
    columns: dict[str, Column] = {name: one.column for name, one in inputs.items()}
    return arranged(columns, splits, options)


def _numbered(row: Annotated, number: dict[str, int]) -> Any:
    if row.boxes_n4 is None:
        return None
    classes = np.array([number[name] for name in row.classes], dtype=np.float64)
    return np.column_stack([row.boxes_n4, classes]).astype(np.float32)
