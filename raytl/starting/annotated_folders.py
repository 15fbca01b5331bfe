"""Folders of images with masks or with boxes."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from raytl.data.importers.base import first_folder
from raytl.data.importers.coco_boxes import USUAL, without_year
from raytl.data.importers.image_folder import EXTENSIONS as IMAGES
from raytl.data.importers.mask_pairs import IMAGES as IMAGE_FOLDERS
from raytl.data.importers.mask_pairs import MASKS, mask_pairs
from raytl.data.importers.voc_boxes import ANNOTATIONS, dataset_in
from raytl.data.importers.voc_boxes import IMAGES as BOXED
from raytl.data.importers.yolo import refuse_yolo
from raytl.data.split_names import parts_of
from raytl.starting.media_folders import SIZED_BY, sizes_of
from raytl.starting.raw import Raw, Wanted

NAMES = 50_000  # of files by which boxes are looked for, in all folders together
MOST_FOLDERS = 2000  # that are looked into
BOX_SIDE, MASK_SIDE = 192, 256  # of larger images with boxes, and with masks


def box_folder(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return images with boxes, of XML or JSON files; None where there are none. Looked for where
    the importer reads them, so that it does not matter how many files come before."""
    places = [root, *folders[:MOST_FOLDERS]]
    count = NAMES // len(places)
    images = [
        path
        for place in _folders_of_images(root, places)
        for path in _first(place, count)
        if path.suffix.lower() in IMAGES
    ]
    if not images or not any(map(_has_boxes, _annotations(files, places, images, count))):
        return None
    sizes = set(sizes_of(images))
    options: dict[str, Any] = {"skip_bad": True}
    if len(sizes) > 1 or max((max(size) for size in sizes), default=0) > MASK_SIDE:
        options["size"] = BOX_SIDE
    splits = _listed_splits(dataset_in(root), folders)
    return Raw("box-folder", str(root), options, "images with boxes").with_test_of(splits)


def _folders_of_images(root: Path, places: list[Path]) -> list[Path]:
    """Return where images may be: in each place or a folder in it that is called so, or in the
    folders in ROOT's own."""
    own = first_folder(root, BOXED)
    below = [] if own is None else [path for path in _first(own, MOST_FOLDERS) if path.is_dir()]
    named = (first_folder(place, BOXED) or place for place in places)
    return list(dict.fromkeys([*named, *below]))


def _annotations(
    files: list[Path], places: list[Path], images: list[Path], count: int
) -> Iterator[Path]:
    """Yield files that may hold boxes: those in the root, in each place some and those of the usual
    names, and those that would be of some of the images."""
    yield from files
    for place in places:
        folder = first_folder(place, ANNOTATIONS) or place
        yield from (folder / f"{name}.json" for name in USUAL)
        yield from _first(folder, count)
    yield from (path.with_suffix(".xml") for path in images[:: max(1, len(images) // SIZED_BY)])


def _first(folder: Path, count: int) -> list[Path]:
    """Return some of what is in a folder, as it comes: names alone are read."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in islice(found, count)]
    except OSError:  # the importer tells of a folder that cannot be read
        return []
    return [folder / name for name in names if not name.startswith(".")]


def _has_boxes(path: Path) -> bool:
    if path.suffix.lower() not in (".xml", ".json") or not path.is_file():
        return False
    if path.suffix.lower() == ".xml":
        return True
    with path.open("rb") as file:
        head = file.read(2**16)
    return b'"images"' in head or b'"annotations"' in head


def no_yolo(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> None:
    """Recognise nothing. Raises DataError for images with boxes as YOLO writes them."""
    refuse_yolo(root)


def _listed_splits(root: Path, folders: list[Path]) -> list[str]:
    lists = [path.stem for path in root.glob("ImageSets/Main/*.txt")]
    if lists:
        return [name for name in lists if name != "trainval"]
    names = (path.stem.removeprefix("instances_") for path in root.glob("annotations/*.json"))
    json = [without_year(name) for name in names]
    named = [folder.name for folder in folders if parts_of([folder.name]).train == folder.name]
    return json or ([folder.name for folder in folders] if named else ["train"])


def mask_folder(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return images with masks beside them; None where there are no two such folders."""
    names = {folder.name.lower() for folder in folders}
    beside = any(
        {f"{folder.name}_{mask}".lower() for mask in MASKS} & names
        or (first_folder(folder, MASKS) and first_folder(folder, IMAGE_FOLDERS))
        for folder in folders
    )
    if not beside and not (names & set(MASKS) and names & set(IMAGE_FOLDERS)):
        return None
    skipped: list[str] = []
    splits = mask_pairs(root, IMAGES, False, skipped)
    pairs = [pair for of in splits.values() for pair in of]
    sizes = set(sizes_of([pair.image for pair in pairs]))
    options: dict[str, Any] = {"skip_bad": True}
    if len(sizes) > 1 or max((max(size) for size in sizes), default=0) > MASK_SIDE:
        options["size"] = MASK_SIDE
    what = f"{len(pairs)} images with a mask each"
    return Raw("mask-folder", str(root), options, what).with_test_of(splits)
