"""Annotations as COCO has them: a JSON file for each split."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.importers.annotated import Annotated, need_finite
from raytl.errors import DataError
from raytl.folders import printable

USUAL = ("_annotations.coco", "annotations", "instances", "coco")  # names that name no split
# What COCO's own folder has beside instances_….json, by their beginnings
BESIDE = ("person_keypoints_", "captions_", "stuff_", "panoptic_")
PARTS = ("images", "annotations", "categories")


def coco_rows(root: Path) -> list[Annotated]:
    """Return the images that JSON files name and their boxes, none where there is no such file:
    ROOT/SPLIT.json, ROOT/annotations/instances_SPLIT.json or ROOT/SPLIT/….json; images are sought
    beside the file and in ROOT/SPLIT, ROOT/images/SPLIT, ROOT/images and ROOT. Key points, captions
    and the like, which COCO's own folder has beside instances_….json, are passed over there.

    Raises DataError for a file that is no such annotation, and where an image is not found.
    """
    folders = [root, *(path for path in root.iterdir() if path.is_dir())]
    files = [file for folder in folders for file in _annotations(folder)]
    rows: list[Annotated] = []
    taken: dict[str, Path] = {}
    for file in sorted(files):
        content = _content(file)
        if content is None:
            continue
        name = _split_of(root, file)
        split = without_year(name)
        if split in taken:
            raise DataError(
                f"{printable(file)}: it has the split {split}, as {printable(taken[split])} has; "
                "keep one"
            )
        taken[split] = file
        places = [file.parent, root / name, root / "images" / name, root / "images", root]
        rows += _rows(file, content, split, places)
    _refuse_twice(rows)
    return rows


def without_year(name: str) -> str:
    """Return a split's name as COCO has it without its year: train of train2017."""
    return re.sub(r"(?<=[a-z])\d{4}$", "", name)


def _refuse_twice(rows: Sequence[Annotated]) -> None:
    split_of: dict[str, str] = {}
    for row in rows:
        path = os.path.abspath(row.image)
        if path in split_of:
            both = " and ".join(dict.fromkeys((split_of[path], row.split)))
            raise DataError(
                f"{printable(row.image)}: two of the annotations' images are this file (split "
                f"{both}); give it one id, and one split"
            )
        split_of[path] = row.split


def _annotations(folder: Path) -> list[Path]:
    files = list(folder.glob("*.json"))
    if any(file.name.startswith("instances_") for file in files):
        files = [file for file in files if not file.name.startswith(BESIDE)]
    return files


def _split_of(root: Path, file: Path) -> str:
    stem = file.stem.removeprefix("instances_")
    if stem not in USUAL and (file.parent == root or file.parent.name == "annotations"):
        return stem
    return "train" if file.parent == root or file.parent.name == "annotations" else file.parent.name


def _content(file: Path) -> dict[str, Any] | None:
    """Return what a file holds, where it is COCO's. Raises DataError where it is no JSON."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(file)}: no JSON that can be read: {error}") from None
    if not isinstance(content, dict) or not set(PARTS) <= content.keys():
        return None
    wrong = [part for part in PARTS if not _are_objects(content[part])]
    if wrong:
        raise DataError(f"{printable(file)}: '{wrong[0]}' must be a list of objects with their ids")
    return content


def _are_objects(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(one, dict) for one in part)


def _rows(
    file: Path, content: Mapping[str, Any], split: str, places: Sequence[Path]
) -> list[Annotated]:
    images = {_field(one, "id", file): one for one in content["images"]}
    if len(images) < len(content["images"]):
        raise DataError(
            f"{printable(file)}: each image must have an id of its own, but "
            f"{len(content['images'])} images have {len(images)}"
        )
    found, rows = _boxes_of(file, content, images), []
    for number, one in images.items():
        image = _found(str(_field(one, "file_name", file)), places, file)
        boxes = [corners for corners, _ in found[number] if corners is not None]
        classes = tuple(name for corners, name in found[number] if corners is not None)
        crowds = len(found[number]) - len(boxes)
        every = np.array(boxes).reshape(-1, 4)
        rows.append(Annotated(split, image, every, classes, _size(one), crowds))
    return rows


def _boxes_of(
    file: Path, content: Mapping[str, Any], images: Mapping[Any, Any]
) -> dict[Any, list[tuple[np.ndarray | None, str]]]:
    """Return of each image its boxes and the names of their classes, None in place of a crowd's."""
    names = _categories(file, content)
    found: dict[Any, list[tuple[np.ndarray | None, str]]] = {number: [] for number in images}
    for number, one in enumerate(content["annotations"]):
        where = f"{printable(file)}, annotation {number}"
        image, category = _field(one, "image_id", where), _field(one, "category_id", where)
        for what, known in (("image_id", images), ("category_id", names)):
            if one[what] not in known:
                ids = ", ".join(map(repr, list(known)[:3])) + (", …" if len(known) > 3 else "")
                raise DataError(f"{where}: {what} {one[what]!r} is not among the file's, {ids}")
        crowd = bool(one.get("iscrowd"))
        corners = None if crowd else _corners(_field(one, "bbox", where), where)
        found[image].append((corners, names[category]))
    return found


def _categories(file: Path, content: Mapping[str, Any]) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for one in content["categories"]:
        number, name = _field(one, "id", file), str(_field(one, "name", file)).strip()
        if not name or number in names:
            wrong = f"category {number!r} has " + ("two names" if name else "an empty name")
            raise DataError(f"{printable(file)}: {wrong}; give each category an id and a name")
        names[number] = name
    return names


def _field(one: Mapping[str, Any], name: str, where: Path | str) -> Any:
    value = one.get(name)
    if value is None or (name.endswith("id") and not isinstance(value, int | str)):
        where = printable(where) if isinstance(where, Path) else where
        raise DataError(f"{where}: an object must have '{name}', but one has {one.get(name)!r}")
    return value


def _corners(bbox: Any, where: str) -> np.ndarray:
    """Return x1, y1, x2, y2 of left, top, width and height."""
    plain = isinstance(bbox, list) and len(bbox) == 4
    if not plain or not all(isinstance(number, int | float) for number in bbox):
        raise DataError(f"{where}: bbox must be left, top, width and height, got {bbox!r:.60}")
    left, top, width, height = need_finite(bbox, where)
    return np.array([left, top, left + width, top + height])


def _size(one: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = one.get("height"), one.get("width")
    known = isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0
    return (height, width) if known else None  # type: ignore[return-value]


def _found(name: str, places: Sequence[Path], file: Path) -> Path:
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{printable(file)}: image {printable(name)} is neither beside it nor in "
            f"{', '.join(printable(place) for place in places[1:])}; add it, or take it out"
        )
    return path
