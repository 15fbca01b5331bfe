"""Which image and which mask belong together."""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple

from raytl.data.importers.base import first_folder
from raytl.errors import DataError
from raytl.folders import printable

IMAGES = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "label", "annotations")
LAYOUTS = (
    "give SOURCE/images and SOURCE/masks, SOURCE/SPLIT and SOURCE/SPLIT_masks, or "
    "SOURCE/SPLIT/images and SOURCE/SPLIT/masks"
)


class Pair(NamedTuple):
    """An image's file and its mask's, where it has one."""

    split: str
    image: Path
    mask: Path | None


def mask_pairs(
    root: Path, extensions: Set[str], unlabelled: bool, skipped: list[str]
) -> dict[str, list[Pair]]:
    """Return the pairs of each split, by name. `extensions`: those of files of images and masks;
    other files are appended to `skipped`, as are masks without an image.

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
        of_masks = {} if masks is None else _files(masks, extensions, skipped)
        alone = [path for name, path in of_masks.items() if name not in by_name]
        skipped += [f"{printable(path)}: a mask without an image" for path in alone]
        bare = [path for name, path in by_name.items() if name not in of_masks]
        if bare and masks is not None and not unlabelled:
            raise DataError(
                f"{printable(bare[0])}: no mask of this name in {printable(masks)} ({len(bare)} "
                "such); add it, or give --unlabelled"
            )
        pairs = [Pair(split, path, of_masks.get(name)) for name, path in by_name.items()]
        if pairs:
            found[split] = pairs
    if not any(pair.mask for pairs in found.values() for pair in pairs):
        raise DataError(f"{printable(root)}: no image with a mask; {LAYOUTS}")
    return found


def _folders(root: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield each split's name, folder of images and folder of masks, train first."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = {path.name: path for path in folders}
    if images := first_folder(root, IMAGES):
        yield "train", images, first_folder(root, MASKS)
        return
    for folder in sorted(folders, key=lambda path: (path.name != "train", path.name)):
        if folder.name.rpartition("_")[0] in names and folder.name.rpartition("_")[2] in MASKS:
            continue
        beside = (names.get(f"{folder.name}_{masks}") for masks in MASKS)
        yield (
            folder.name, first_folder(folder, IMAGES) or folder,
            first_folder(folder, MASKS) or next((path for path in beside if path), None),
        )  # fmt: skip


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
