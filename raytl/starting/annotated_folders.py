"""Folders of images with masks or with boxes."""

from pathlib import Path
from typing import Any

from raytl.data.importers.image_folder import EXTENSIONS as IMAGES
from raytl.data.importers.mask_pairs import IMAGES as IMAGE_FOLDERS
from raytl.data.importers.mask_pairs import MASKS, mask_pairs
from raytl.starting.media_folders import below, sizes_of
from raytl.starting.raw import Raw, Wanted
from raytl.starting.split_names import parts_of

BOX_SIDE, MASK_SIDE = 192, 256  # of larger images with boxes, and with masks


def box_folder(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return images with boxes, of XML or JSON files; None where there are none."""
    every = list(below(root))
    images = [path for path in every if path.suffix.lower() in IMAGES]
    if not images or not any(_has_boxes(path) for path in every):
        return None
    sizes = set(sizes_of(images))
    options: dict[str, Any] = {"skip_bad": True}
    if len(sizes) > 1 or max((max(size) for size in sizes), default=0) > MASK_SIDE:
        options["size"] = BOX_SIDE
    splits = _listed_splits(root, folders)
    return Raw("box-folder", str(root), options, "images with boxes").with_test_of(splits)


def _has_boxes(path: Path) -> bool:
    if path.suffix.lower() == ".xml":
        return True
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(2**16)
    return b'"images"' in head or b'"annotations"' in head


def _listed_splits(root: Path, folders: list[Path]) -> list[str]:
    lists = [path.stem for path in root.glob("ImageSets/Main/*.txt")]
    if lists:
        return [name for name in lists if name != "trainval"]
    json = [path.stem.removeprefix("instances_") for path in root.glob("annotations/*.json")]
    named = [folder.name for folder in folders if parts_of([folder.name]).train == folder.name]
    return json or ([folder.name for folder in folders] if named else ["train"])


def mask_folder(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return images with masks beside them; None where there are no two such folders."""
    names = {folder.name for folder in folders}
    beside = any(
        {f"{name}_{mask}" for mask in MASKS} & names
        or (_any_of(root / name, MASKS) and _any_of(root / name, IMAGE_FOLDERS))
        for name in names
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


def _any_of(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_dir() for name in names)
