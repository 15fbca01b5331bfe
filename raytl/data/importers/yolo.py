"""YOLO's annotations, which are not read: recognised, so that it can be said."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from raytl.errors import DataError
from raytl.folders import printable

# A class, then shares of the image's sides
LINE = re.compile(r"\d+( -?\d*\.?\d+([eE]-?\d+)?){4,}\s*")
MOST_FOLDERS = 200  # that are looked into
MOST_NAMES = 2000  # of each
TRIED = 3  # files of each


def refuse_yolo(root: Path) -> None:
    """Raise DataError where a folder, or one or two below it, has files of YOLO's boxes."""
    found = next((file for folder in _folders(root) for file in _texts(folder) if _is(file)), None)
    if found is not None:
        raise DataError(
            f"{printable(found)}: has boxes as YOLO writes them, which are not read; convert them "
            "to COCO's JSON, a file for each split (most labelling tools export it)"
        )


def _folders(root: Path) -> Iterator[Path]:
    below = _entries(root, MOST_FOLDERS)
    yield root
    yield from (path for path in below if path.is_dir())
    for folder in below:
        if folder.is_dir():
            yield from (path for path in _entries(folder, MOST_FOLDERS) if path.is_dir())


def _entries(folder: Path, most: int) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [folder / entry.name for entry in islice(found, most)]
    except OSError:
        return []


def _texts(folder: Path) -> list[Path]:
    return [path for path in _entries(folder, MOST_NAMES) if path.suffix == ".txt"][:TRIED]


def _is(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            lines = [line for line in opened.read(2**12).decode("ascii").splitlines() if line]
    except (OSError, UnicodeDecodeError):
        return False
    return bool(lines) and LINE.fullmatch(lines[0]) is not None
