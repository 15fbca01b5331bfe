"""Annotations as Pascal VOC has them: an XML file for each image."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from raytl.data.importers.annotated import Annotated, need_finite
from raytl.data.importers.base import first_folder
from raytl.data.importers.image_folder import EXTENSIONS
from raytl.errors import DataError
from raytl.folders import printable

IMAGES = ("JPEGImages", "images", "imgs")
ANNOTATIONS = ("Annotations", "annotations", "labels", "xml")
LISTED = "ImageSets"
LISTS = ("train", "val", "validation", "test")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def dataset_in(root: Path) -> Path:
    """Return the folder of a dataset: ROOT, or the one folder in it that has lists of its own, as
    VOCdevkit/VOC2012 has. Raises DataError where several have."""
    if (root / LISTED).is_dir():
        return root
    found = sorted(path for path in root.iterdir() if (path / LISTED).is_dir())
    if len(found) > 1:
        names = ", ".join(printable(path.name) for path in found)
        raise DataError(
            f"{printable(root)}: {names} are datasets of their own, each with lists of its splits "
            f"({LISTED}); give one of them"
        )
    return found[0] if found else root


def voc_rows(root: Path, unlabelled: bool, skipped: list[str]) -> list[Annotated]:
    """Return the images of a folder and their boxes, none where it has no XML files:
    ROOT/JPEGImages and ROOT/Annotations with ROOT/ImageSets/Main/SPLIT.txt, or images and XML files
    in ROOT, or each of this in ROOT/SPLIT.

    Corners are taken as they stand. Raises DataError for a file that is no such annotation, a name
    in a list without an image and, unless `unlabelled`, an image without a file.
    """
    every = _images_and_files(root)
    if every is not None:
        _tell_alone(*every, skipped)
        return _listed(root, *every, unlabelled, skipped)
    rows: list[Annotated] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        found = _images_and_files(folder)
        if found is not None:
            _tell_alone(*found, skipped)
            rows += _rows(folder.name, *found, unlabelled)
    return rows


def _tell_alone(images: Mapping[str, Path], files: Mapping[str, Path], skipped: list[str]) -> None:
    alone = sorted(files.keys() - images.keys())
    skipped += [f"{printable(files[name])}: an XML file without an image" for name in alone]


def _images_and_files(folder: Path) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return a folder's images and annotation files, by name; None where it has none of either."""
    images = first_folder(folder, IMAGES) or folder
    files = first_folder(folder, ANNOTATIONS) or folder
    of_files = {path.stem: path for path in sorted(files.glob("*.xml"))}
    of_images: dict[str, Path] = {}
    for path in sorted(images.iterdir()):
        if path.suffix.lower() not in EXTENSIONS or path.name.startswith("."):
            continue
        if path.stem in of_images:
            raise DataError(
                f"{printable(path)}: two images are called {printable(path.stem)}; remove one"
            )
        of_images[path.stem] = path
    return (of_images, of_files) if of_images and of_files else None


def _listed(
    root: Path, images: Mapping[str, Path], files: Mapping[str, Path], unlabelled: bool,
    skipped: list[str],
) -> list[Annotated]:  # fmt: skip
    """Return the rows of the splits that ROOT/ImageSets/Main lists, or all as train."""
    lists = {name: root / LISTED / "Main" / f"{name}.txt" for name in LISTS}
    splits = {name: _names(file) for name, file in lists.items() if file.is_file()}
    if not splits:
        return _rows("train", images, files, unlabelled)
    rows, split_of = list[Annotated](), dict[str, str]()
    for split, names in splits.items():
        for name in names:
            where = f"{printable(lists[split])}: {printable(name)}"
            if name not in images:
                raise DataError(f"{where} has no image; add it, or take it out of the list")
            if name in split_of:
                raise DataError(f"{where} is listed in {split_of[name]} already; list it once")
            split_of[name] = split
        rows += _rows(split, {name: images[name] for name in names}, files, unlabelled)
    unlisted = sorted(set(images) - set(split_of))
    skipped += [f"{printable(images[name])}: listed in no split" for name in unlisted]
    return rows


def _names(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{printable(file)}: a list of names must be UTF-8") from None
    return [line.split()[0] for line in lines if line.strip()]


def _rows(
    split: str, images: Mapping[str, Path], files: Mapping[str, Path], unlabelled: bool
) -> list[Annotated]:
    bare = [path for name, path in images.items() if name not in files]
    if bare and not unlabelled:
        raise DataError(
            f"{printable(bare[0])}: no XML file of this name ({len(bare)} such); add it, an "
            "<annotation/> alone where nothing is to be seen, or give --unlabelled"
        )
    of_image = {name: files.get(name) for name in images}
    return [
        Annotated(split, images[name], None) if file is None else read(file, images[name], split)
        for name, file in of_image.items()
    ]


def read(file: Path, image: Path, split: str) -> Annotated:
    """Return what an XML file says of an image. Raises DataError where it is no annotation."""
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise DataError(f"{printable(file)}: no XML that can be read: {error}") from None
    if root.tag != "annotation":
        raise DataError(
            f"{printable(file)}: its root is <{root.tag[:40]}>, where VOC has <annotation>; "
            "convert it, or take it away"
        )
    boxes, classes, hard = list[np.ndarray](), list[str](), 0
    for number, found in enumerate(root.iter("object")):
        where = f"{printable(file)}, object {number}"
        name = (found.findtext("name") or "").strip()
        if not name:
            raise DataError(f"{where}: it has no name of a class")
        if (found.findtext("difficult") or "0").strip().lower() in ("1", "true"):
            hard += 1
            continue
        boxes.append(need_finite(_numbers(found.find("bndbox"), CORNERS, where), where))
        classes.append(name)
    size = None
    if root.find("size") is not None:
        where = f"{printable(file)}, size"
        height, width = need_finite(_numbers(root.find("size"), ("height", "width"), where), where)
        size = (int(height), int(width)) if height and width else None  # 0: some tools leave it out
    every = np.stack(boxes) if boxes else np.empty((0, 4))
    return Annotated(split, image, every, tuple(classes), size, hard)


def _numbers(
    element: ElementTree.Element | None, names: tuple[str, ...], where: str
) -> list[float]:
    texts = [None if element is None else element.findtext(name) for name in names]
    try:
        return [float(text) for text in texts]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: it must have the numbers {', '.join(names)}, but has "
            f"{', '.join(repr(text) for text in texts)}"
        ) from None
