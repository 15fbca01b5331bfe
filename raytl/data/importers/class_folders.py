"""A folder a class: SOURCE/SPLIT/CLASS/file, or SOURCE/CLASS/file, as torchvision's ImageFolder."""

from collections.abc import Iterator, Set
from typing import NamedTuple

from raytl.data.importers.listing import Entry, Listed, entries, in_order, is_hidden, shown
from raytl.data.schema import FILE_NAME
from raytl.errors import DataError
from raytl.folders import printable


class Item(NamedTuple):
    """One file."""

    path: Entry
    label: int


class Found(NamedTuple):
    """What a folder holds: classes, and the files of each split by class and name."""

    classes: tuple[str, ...]
    splits: dict[str, list[Item]]


def class_folders(root: Entry, extensions: Set[str], what: str, skipped: list[str]) -> Found:
    """Find files by class. Folders become splits, or `train` alone where there are none; every
    split must have the same classes. Links are followed, each folder once.

    `extensions`: those of the files that are wanted; `what`: what they are, "image" say. Other
    files are appended to `skipped`. Raises DataError where the folders are not so.
    """
    if not root.is_dir():
        raise DataError(
            f"{shown(root)}: no such folder; give SOURCE/SPLIT/CLASS/{what} or SOURCE/CLASS/{what}"
        )
    wanted = _Wanted(extensions, what, skipped)
    folders = _splits(root, wanted)
    classes = _classes(folders)
    return Found(classes, {name: _items(path, classes, wanted) for name, path in folders.items()})


class _Wanted(NamedTuple):
    extensions: Set[str]
    what: str
    skipped: list[str]


def folders_in(folder: Entry) -> list[Entry]:
    """Return the folders in a folder that may be splits or classes."""
    inside = (p for p in entries(folder) if not is_hidden(p))
    return in_order(p for p in inside if p.is_dir() and not _no_class(p))


def _no_class(folder: Entry) -> str:
    """Return why a folder is neither a split nor a class; empty where it may be."""
    if isinstance(folder, Listed):
        return "a dataset of raytl" if (folder / FILE_NAME).is_file() else ""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        return "a link to a folder above it"
    return "a dataset of raytl" if (folder / FILE_NAME).is_file() else ""


def _splits(root: Entry, wanted: _Wanted) -> dict[str, Entry]:
    children = folders_in(root)
    nested = [child for child in children if folders_in(child)]
    if not nested:
        return {"train": root}
    _list_strays(root, wanted)
    for child in children:
        if child not in nested:
            wanted.skipped.append(
                f"{shown(child)}: no class folders in it, beside splits that have"
            )
    return {child.name: child for child in nested}


def _classes(folders: dict[str, Entry]) -> tuple[str, ...]:
    names = {split: tuple(c.name for c in folders_in(folder)) for split, folder in folders.items()}
    first, classes = next(iter(names.items()))
    if len(classes) < 2:
        place = shown(next(iter(folders.values())))
        raise DataError(
            f"{place}: a classification needs two class folders or more, got {list(classes)}; "
            "folders of SOURCE that have folders in them are taken for splits"
        )
    for split, others in names.items():
        differing = sorted(set(classes) ^ set(others))
        if differing:
            here, there = (first, split) if differing[0] in classes else (split, first)
            raise DataError(
                f"every split must have the same class folders, but {printable(here)} has "
                f"'{printable(differing[0])}', which {printable(there)} lacks "
                f"({len(differing)} such)"
            )
    for name in classes:
        if printable(name) != name:
            raise DataError(f"class folder '{printable(name)}': its name is no UTF-8; rename it")
    return classes


def _items(folder: Entry, classes: tuple[str, ...], wanted: _Wanted) -> list[Item]:
    _list_strays(folder, wanted)
    items: list[Item] = []
    for number, name in enumerate(classes):
        for path in files_below(folder / name, set(), wanted.skipped):
            if path.suffix.lower() in wanted.extensions:
                items.append(Item(path, number))
            else:
                wanted.skipped.append(not_wanted(path, wanted.what))
    return items


def not_wanted(path: Entry, what: str) -> str:
    """Return why a file is left out, by its extension."""
    return f"{shown(path)}: {printable(path.suffix) or 'no extension'} is no {what} type"


def _list_strays(folder: Entry, wanted: _Wanted) -> None:
    """List what stands beside class or split folders and is none."""
    for path in in_order(entries(folder)):
        if path.is_dir():
            reason = _no_class(path)
            if reason:
                wanted.skipped.append(f"{shown(path)}: {reason}")
        elif not path.exists():
            wanted.skipped.append(f"{shown(path)}: a link that leads nowhere")
        elif path.suffix.lower() in wanted.extensions:
            wanted.skipped.append(f"{shown(path)}: in no class folder")


def files_below(folder: Entry, seen: set[Entry], skipped: list[str]) -> Iterator[Entry]:
    """Yield every file below a folder in sorted order, hidden ones left out; a folder that links
    lead to again, once."""
    real = folder.resolve()
    if real in seen:
        skipped.append(f"{shown(folder)}: a link to a folder that was read already")
        return
    seen.add(real)
    for path in in_order(entries(folder)):
        if is_hidden(path):
            skipped.append(f"{shown(path)}: hidden")
        elif path.is_dir():
            reason = _no_class(path)
            if reason:
                skipped.append(f"{shown(path)}: {reason}")
            else:
                yield from files_below(path, seen, skipped)
        elif path.is_file():
            yield path
        else:
            skipped.append(f"{shown(path)}: a link that leads nowhere, or no regular file")
