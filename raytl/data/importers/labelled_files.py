"""Files by class, of which some or all may have none: SOURCE/file, SOURCE/SPLIT/file and whatever
is below, beside SOURCE/CLASS/file and SOURCE/SPLIT/CLASS/file."""

from collections.abc import Set
from typing import NamedTuple

from raytl.data.importers.class_folders import (
    Item,
    class_folders,
    files_below,
    folders_in,
    not_wanted,
)
from raytl.data.importers.listing import Entry, below, entries, in_order, shown
from raytl.data.importers.options import ShardOptions
from raytl.data.split_names import Parts, parts_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.tasks.columns import NO_LABEL, LabelColumn


class Labelled(NamedTuple):
    """Files by split, and the column of their labels."""

    column: LabelColumn
    splits: dict[str, list[Item]]
    notes: list[str]


def labelled_files(
    root: Entry, extensions: Set[str], what: str, options: ShardOptions, skipped: list[str]
) -> Labelled:
    """Find files by class as `class_folders`. With `--unlabelled` those in a folder that is called
    as one of `--classes` have that class and all others none.

    Raises what `class_folders` raises; ConfigError where `--unlabelled` and `--classes` are not
    given together, DataError where there is no file of the kind.
    """
    if not options.unlabelled:
        if options.classes is not None:
            raise ConfigError(
                "--classes: folders say the classes, unless some files have none: give "
                "--unlabelled too, or leave it out"
            )
        classes, splits = class_folders(root, extensions, what, skipped)
        return Labelled(LabelColumn(classes=classes), splits, [])
    if options.class_names is None:
        raise ConfigError(
            "--unlabelled: nothing says which classes there may be; name those of the other domain "
            "with --classes, e.g. --classes no,yes"
        )
    column = LabelColumn(classes=options.class_names, nulls=True)
    return Labelled(column, *partly_labelled(root, column.classes, extensions, what, skipped))


def partly_labelled(
    root: Entry, classes: tuple[str, ...], extensions: Set[str], what: str, skipped: list[str]
) -> tuple[dict[str, list[Item]], list[str]]:
    """Find files by split, and what to say of them. Those below a folder that is called as one of
    `classes` have that class, all others NO_LABEL. Folders are splits where one of them is called
    as splits are (train, test) and no class is. Other kinds of files are appended to `skipped`.

    Raises DataError where a folder or a split has no file of the kind.
    """
    if not root.is_dir():
        raise DataError(f"{shown(root)}: no such folder; give one of {what}s, or of SPLIT/{what}")
    splits = split_folders(root, classes)
    if splits:
        strays = (path for path in in_order(entries(root)) if path.is_file())
        skipped += [f"{shown(path)}: in no split's folder" for path in strays]
    folders = splits or {"train": root}
    found = {}
    for split, folder in folders.items():
        found[split] = _items(folder, classes, extensions, what, skipped)
        if not found[split]:
            raise DataError(f"{shown(folder)}: no {what} is in this folder; give one with {what}s")
    return found, _notes(folders, found, what)


def _items(
    folder: Entry, classes: tuple[str, ...], extensions: Set[str], what: str, skipped: list[str]
) -> list[Item]:
    number = {name: k for k, name in enumerate(classes)}
    items = []
    for path in files_below(folder, set(), skipped):
        if path.suffix.lower() in extensions:
            first = below(path, folder).partition("/")[0]
            items.append(Item(path, number.get(first, NO_LABEL)))
        else:
            skipped.append(not_wanted(path, what))
    return items


def _notes(folders: dict[str, Entry], splits: dict[str, list[Item]], what: str) -> list[str]:
    """Return what to say of files without a label, and of folders that are no class: a name may be
    misspelt."""
    none = [
        below(item.path, folders[split]).split("/")
        for split, items in splits.items() for item in items if item.label == NO_LABEL
    ]  # fmt: skip
    odd = sorted({first for first, *more in none if more})
    among = f", among them those in {', '.join(map(printable, odd[:5]))}" if odd else ""
    every = sum(map(len, splits.values()))
    return [f"{len(none)} of {every} {what}s have no label{among}"] if none else []


def split_folders(root: Entry, classes: tuple[str, ...] = ()) -> dict[str, Entry]:
    """Return the folders that are splits, by name; none where no folder is called as a split is, or
    one as a class."""
    folders = {path.name: path for path in folders_in(root)}
    if set(folders) & set(classes) or parts_of(folders) == Parts(None, None, None):
        return {}
    return folders
