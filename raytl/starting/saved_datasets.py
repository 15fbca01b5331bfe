"""Folders that Hugging Face's `datasets` saved, as they are seen without it."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from raytl.data.split_names import parts_of
from raytl.starting.column_roles import row_numbers
from raytl.starting.raw import Raw, Wanted


def saved_datasets(
    root: Path, files: list[Path], folders: list[Path], wanted: Wanted
) -> Raw | None:
    """Return a folder of `save_to_disk`, without the columns that number its training rows; None
    where it is no such."""
    names = {file.name for file in files}
    if "dataset_dict.json" in names:
        what = "a folder of DatasetDict.save_to_disk"
        splits = {folder.name: folder for folder in folders}
    elif {"dataset_info.json", "state.json"} <= names:
        what, splits = "a folder of Dataset.save_to_disk", {"train": root}
    else:
        return None
    options: dict[str, Any] = {} if wanted.target is None else {"target": wanted.target}
    train = splits.get(parts_of(splits).train or "")
    numbers = [] if train is None else [n for n in _row_numbers(train) if n != wanted.target]
    if numbers:
        options["drop"] = tuple(numbers)
    notes = tuple(f"column {name} numbers the rows, so it is left out" for name in numbers)
    return Raw("huggingface", str(root), options, what, notes).with_test_of(splits)


def _row_numbers(folder: Path) -> list[str]:
    """Return the columns that number the rows of one split; none where it cannot be read: the
    importer says why."""
    try:
        parts = [
            pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
            for file in sorted(folder.glob("data-*.arrow"))
        ]
        return row_numbers(pa.concat_tables(parts)) if parts else []
    except (pa.ArrowException, OSError):
        return []
