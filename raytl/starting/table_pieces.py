"""Which files of tables are pieces of one split, by their names."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from raytl.data.importers.table_files import PARQUET
from raytl.data.split_names import parts_of
from raytl.errors import DataError
from raytl.folders import printable

PIECE = re.compile(r"(?P<split>.+?)(?P<mark>[_-])\d+([_-]of[_-]\d+)?")


def splits_of_tables(root: Path, tables: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files of each split, those of train first: train-00000-of-00002.parquet is a piece
    of train. None are returned where a name is of no split, or none is of train."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in tables:
        piece = PIECE.fullmatch(stem_of(file))
        found[stem_of(file) if piece is None else piece["split"]].append(file)
    train = parts_of(found).train
    if train is None or not all(map(_plays, found)):
        return {}
    return {train: found[train]} | found


def pattern_of(split: str, files: Sequence[Path]) -> str:
    """Return what names a split's files: their pattern, of Parquet in pieces, or the one file.
    Raises DataError where several can be named by none."""
    patterns = {_pattern(file) for file in files}
    if len(patterns) == 1:
        return patterns.pop()
    names = " and ".join(printable(file.name) for file in files[:2])
    raise DataError(
        f"{printable(files[0].parent)}: {names} are pieces of the split {split} ({len(files)} in "
        "all), and pieces are read together where they are Parquet files whose names differ in "
        f"numbers alone ({split}-00000.parquet); write them so, or as one file"
    )


def is_piece(file: Path) -> bool:
    """Whether a file is a piece of Parquet of some split."""
    piece = PIECE.fullmatch(stem_of(file))
    return piece is not None and "*" in _pattern(file) and _plays(piece["split"])


def stem_of(file: Path) -> str:
    """Return a file's name without what says its kind."""
    return file.name.removesuffix(".gz").rpartition(".")[0]


def _pattern(file: Path) -> str:
    piece = PIECE.fullmatch(stem_of(file))
    if piece is None or file.suffix.lower() not in PARQUET:
        return file.name
    return f"{piece['split']}{piece['mark']}*{file.suffix}"


def _plays(name: str) -> bool:
    """Whether a name is a split's."""
    parts = parts_of([name])
    return any((parts.train, parts.validation, parts.test))
