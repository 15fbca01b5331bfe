"""Which image and which mask belong together."""

from collections.abc import Iterator, Mapping, Set
from glob import escape
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from raytl.data.importers.base import first_folder
from raytl.data.importers.yolo import refuse_yolo
from raytl.errors import DataError
from raytl.folders import printable

IMAGES = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "label", "annotations")
LAYOUTS = (
    "give SOURCE/images and SOURCE/masks, SOURCE/SPLIT and SOURCE/SPLIT_masks, "
    "SOURCE/SPLIT/images and SOURCE/SPLIT/masks, or SOURCE/images/SPLIT and SOURCE/masks/SPLIT"
)
MOST_TRIED = 100  # masks by which it is told what all their names end in


class Pair(NamedTuple):
    """An image's file and its mask's, where it has one."""

    split: str
    image: Path
    mask: Path | None


def mask_pairs(
    root: Path, extensions: Set[str], unlabelled: bool, skipped: list[str]
) -> dict[str, list[Pair]]:
    """Return the pairs of each split, by name: a mask is called as its image, or all are and have
    one ending more (x_mask.png of x.jpg). `extensions`: those of files of images and masks; other
    files are appended to `skipped`, as are masks without an image.

    Raises DataError where no folders of both are found, for two files of one name and, unless
    `unlabelled`, for an image without a mask.
    """
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder; {LAYOUTS}")
    found: dict[str, list[Pair]] = {}
    for split, images, masks in _folders(root):
        if masks is None and not unlabelled:
            skipped.append(f"{printable(images)}: no folder of masks beside it")
            continue
        by_name = _files(images, extensions, skipped)
        files = {} if masks is None else _files(masks, extensions, skipped)
        of_masks = _named_as_images(files, by_name)
        alone = [path for name, path in of_masks.items() if name not in by_name]
        skipped += [f"{printable(path)}: a mask without an image" for path in alone]
        bare = [path for name, path in by_name.items() if name not in of_masks]
        if bare and masks is not None and not unlabelled:
            refuse_yolo(masks)
            raise DataError(
                f"{printable(bare[0])}: no mask of this name in {printable(masks)} ({len(bare)} "
                f"such){_unread(masks, bare[0].stem, extensions)}; add it, or give --unlabelled"
            )
        pairs = [Pair(split, path, of_masks.get(name)) for name, path in by_name.items()]
        if pairs:
            found[split] = pairs
    if not any(pair.mask for pairs in found.values() for pair in pairs):
        refuse_yolo(root)
        other = f" (such as {skipped[0]})" if skipped else ""
        raise DataError(f"{printable(root)}: no image with a mask{other}; {LAYOUTS}")
    return found


def _named_as_images(masks: Mapping[str, Path], images: Mapping[str, Path]) -> Mapping[str, Path]:
    """Return masks by the names of their images."""
    if masks.keys() & images.keys():
        return masks
    longest_first = sorted(images, key=len, reverse=True)
    endings = (
        mask.removeprefix(image)
        for mask in islice(masks, MOST_TRIED)
        for image in longest_first
        if mask.startswith(image) and not mask.removeprefix(image)[0].isalnum()
    )
    ending = next(endings, "")
    return {name.removesuffix(ending): path for name, path in masks.items()}


def _unread(folder: Path, stem: str, extensions: Set[str]) -> str:
    there = sorted(path for path in folder.glob(f"{escape(stem)}.*") if path.is_file())
    return f": {printable(there[0].name)} is of no type that is read" if there else ""


def _folders(root: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield each split's name, folder of images and folder of masks, train first."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = {path.name.lower(): path for path in folders}
    if images := first_folder(root, IMAGES):
        masks = first_folder(root, MASKS)
        splits = _splits_in(images)
        if not splits:
            yield "train", images, masks
        for split in splits:
            of_split = None if masks is None else first_folder(masks, (split.name,))
            yield split.name, split, of_split
        return
    for folder in sorted(folders, key=lambda path: (path.name != "train", path.name)):
        name, _, of = folder.name.lower().rpartition("_")
        if name in names and of in MASKS:
            continue
        beside = (names.get(f"{folder.name}_{masks}".lower()) for masks in MASKS)
        yield (
            folder.name, first_folder(folder, IMAGES) or folder,
            first_folder(folder, MASKS) or next((path for path in beside if path), None),
        )  # fmt: skip


def _splits_in(images: Path) -> list[Path]:
    """Return the folders in one of images that has no files, the one called train first."""
    every = [path for path in images.iterdir() if not path.name.startswith(".")]
    if any(path.is_file() for path in every):
        return []
    return sorted(every, key=lambda path: (path.name != "train", path.name))


def _files(folder: Path, extensions: Set[str], skipped: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.suffix.lower() not in extensions:
            skipped.append(f"{printable(path)}: {printable(path.suffix) or 'no extension'} is no "
                           "image type")  # fmt: skip
        elif path.stem in found:
            raise DataError(
                f"{printable(path)}: two files are called {printable(path.stem)}, the other is "
                f"{printable(found[path.stem].name)}; remove one"
            )
        else:
            found[path.stem] = path
    return found
