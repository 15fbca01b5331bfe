"""torch's Datasets of (rows, target), read once, row by row."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from raytl.data.importers.options import names_apart
from raytl.data.importers.pairs import Pair, images_of, target_array
from raytl.data.importers.pixels import as_array, pixels_of
from raytl.errors import DataError

MOST_BYTES = 4 * 2**30  # of rows that are held in memory
READ_TWICE = 3  # rows, to see whether they come out alike


def read_dataset(dataset: Any, name: str) -> tuple[Pair, tuple[str, ...] | None]:
    """Return a Dataset's rows and targets, and what it calls its classes (`classes`, as
    torchvision's have it). An item is an image, or a vector of numbers, and a class or a value.

    Raises DataError for items of another kind, for random ones, and for more than MOST_BYTES.
    """
    rows, targets = [], []
    held = 0
    for number, (row, target) in enumerate(_items(dataset, name)):
        held += row.nbytes
        if held > MOST_BYTES:
            raise DataError(
                f"{name}: more than {MOST_BYTES // 2**30} GiB in {number + 1} of {len(dataset)} "
                "rows; write files, and read them with `raytl shard`, such as image-folder"
            )
        rows.append(row)
        targets.append(target)
    if not rows:
        raise DataError(f"{name}: there are no rows; leave the split out, or give some")
    vectors = {row.ndim for row in rows} == {1}
    if vectors and len({row.shape for row in rows}) > 1:
        raise DataError(f"{name}: rows of numbers must have one length; pad or cut them")
    stacked = np.stack(rows) if vectors else images_of(rows)
    return Pair(name, stacked, target_array(targets, name)), _class_names(dataset)


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset  # of a Subset
    names = getattr(dataset, "classes", None)
    if not isinstance(names, list | tuple) or not names:
        return None
    return names_apart([n[0] if isinstance(n, tuple) and n else str(n) for n in names])


def _items(dataset: Any, name: str) -> Iterator[tuple[np.ndarray, Any]]:
    if not hasattr(dataset, "__len__"):
        raise DataError(
            f"{name}: a Dataset without a length cannot be read to its end; give one that has "
            "__len__ and __getitem__, or write files and use `raytl shard webdataset`"
        )
    for number in range(len(dataset)):
        row, target = _item(dataset, number, name)
        if number < READ_TWICE:
            again, _ = _item(dataset, number, name)
            if not np.array_equal(row, again, equal_nan=row.dtype.kind == "f"):
                raise DataError(
                    f"{name}, row {number}: reads differently each time; give the Dataset without "
                    "random transforms (a study augments by itself: train.augment)"
                )
        yield row, target


def _item(dataset: Any, number: int, name: str) -> tuple[np.ndarray, Any]:
    place = f"{name}, row {number}"
    try:
        item = dataset[number]
    except Exception as error:  # whatever somebody's Dataset raises
        told = (str(error).splitlines() or [""])[0][:200]
        raise DataError(f"{place}: cannot be read: {type(error).__name__}: {told}") from error
    if not isinstance(item, list | tuple) or len(item) != 2:
        what = f"{len(item)} parts" if isinstance(item, list | tuple) else type(item).__name__
        raise DataError(f"{place}: an item must be (row, target), got {what}")
    row, target = item
    return _row(row, place), _target(target, place)


def _row(row: Any, place: str) -> np.ndarray:
    if hasattr(row, "convert"):
        return pixels_of(row, place)
    values = as_array(row)
    if values.ndim == 1 and values.size and values.dtype.kind in "biuf":
        return values.copy()  # the item may be a view of what comes next
    return pixels_of(row, place).copy()


def _target(target: Any, place: str) -> Any:
    if target is None or isinstance(target, str | int | float):
        return target
    values = as_array(target)
    if values.size != 1:
        raise DataError(
            f"{place}: a target must be one class or number, got {values.dtype} {values.shape}"
        )
    return values.reshape(-1)[0].item()
