"""Datasets made of data that Python holds, kept in folders named by what they hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from raytl.data.importers.arranging import how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.objects import read_objects, splits_of
from raytl.data.python_words import in_python
from raytl.data.schema import FILE_NAME, FORMAT_VERSION, column_facts
from raytl.data.shard import DECODERS, check_classes, classes_without_rows
from raytl.data.split_writing import Seen
from raytl.data.stored import StoredRows
from raytl.data.writer import write_dataset
from raytl.files import digest_of
from raytl.folders import cache_folder, make_folder
from raytl.packages import versions_of
from raytl.tasks.columns import LabelColumn

Say = Callable[[str], None]


def held_dataset(data: Any, options: ShardOptions, say: Say = lambda text: None) -> Path:
    """Write a dataset of objects where it is not there yet and return its folder, which is named by
    the rows and the options: the same data are written once. `say` hears notes on what was done.

    Raises as `read_objects` and `write_dataset`.
    """
    found = read_objects(splits_of(data), options)
    for column in found.columns.values():
        if isinstance(column, LabelColumn):
            check_classes(column.classes)
    digest = _digest(found, options)
    above = cache_folder() / "datasets"
    folder = above / digest[:40]
    make_folder(above)
    with FileLock(above / f"{digest[:2]}.lock"):
        untold = how_to_cut(found, options)  # for who has no split test here wants none
        notes = [note for note in found.notes if note not in untold]
        if not (folder / FILE_NAME).exists():
            seen = Seen()
            given = options.model_dump(mode="json", exclude_defaults=True)
            origin = {"kind": "objects", "digest": digest} | given
            write_dataset(folder, found.columns, found.splits, origin, force=True, seen=seen)
            notes = [*notes, *classes_without_rows(found.columns, seen), *seen.left_out]
    for note in notes:
        say(f"note: {in_python(note)}")
    return folder


def _digest(found: Imported, options: ShardOptions) -> str:
    """Return what changes where another row, column or option is given."""
    parts = {}
    for name, rows in found.splits.items():
        assert isinstance(rows, StoredRows), "objects are read in parts"
        parts[name] = rows.part(0, len(rows.places_N)).digest()
    columns = [[name, column_facts(column)] for name, column in found.columns.items()]
    given = options.model_dump(mode="json", exclude_defaults=True)
    return digest_of([FORMAT_VERSION, columns, parts, given, versions_of(DECODERS)])
