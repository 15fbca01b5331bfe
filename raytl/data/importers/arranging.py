"""Who stands in which split: rows as they were found, cut and shuffled, with targets and groups.

Legend: N rows.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from raytl.data.group_column import GroupColumn
from raytl.data.importers.base import (
    Imported,
    ShardOptions,
    chunked,
    fitted,
    flag,
    image_column,
    rows_chunk,
    shuffled,
)
from raytl.data.subsets import holdout, labelled
from raytl.data.writer import Chunk
from raytl.errors import ConfigError, DataError
from raytl.modalities.column import Column
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

CUTS = ("test", "validation")


@dataclass(frozen=True)
class Rows:
    """A split's rows, none of them read yet. `chunks` reads rows by number, in the order in which
    they are asked for, and numbers them so in the chunks' places; it may leave bad ones out."""

    count: int
    chunks: Callable[[np.ndarray], Iterator[Chunk]]
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)  # by column, each (N,)
    groups: np.ndarray | None = None  # their names, str (N,)


def arranged(
    columns: Mapping[str, Column],
    splits: Mapping[str, Rows],
    options: ShardOptions,
    group_name: str = "group",
) -> Imported:
    """Return what there is to write: `--test` and `--validation` cut from the split train, every
    split in shuffled order.

    `columns`: inputs and targets; one of groups is added where rows have such. Raises ConfigError
    where there is nothing to cut from, DataError where it cannot be cut so, and for a group that
    stands in two splits.
    """
    columns, notes = dict(columns), list[str]()
    groups = _group_names(splits)
    if groups is not None and len(groups) == 1:
        notes.append(f"all rows are of one group, '{groups[0]}', so no group is kept")
        splits = {name: replace(rows, groups=None) for name, rows in splits.items()}
    elif groups is not None:
        columns[group_name] = GroupColumn(groups=len(groups))
    parts: dict[str, tuple[Rows, np.ndarray]] = {
        name: (rows, np.arange(rows.count)) for name, rows in splits.items()
    }
    _cut(parts, columns, options)
    chunks = {
        name: _chunks(name, rows, numbers, groups, group_name)
        for name, (rows, numbers) in parts.items()
    }
    return Imported(columns, chunks, sum(rows.count for rows in splits.values()), notes=notes)


def _group_names(splits: Mapping[str, Rows]) -> np.ndarray | None:
    """Return the groups of all splits, sorted."""
    of_split = {n: np.unique(rows.groups) for n, rows in splits.items() if rows.groups is not None}
    if not of_split:
        return None
    names, times = np.unique(np.concatenate(list(of_split.values())), return_counts=True)
    if times.max() > 1:
        group = names[times.argmax()]
        where = [split for split, held in of_split.items() if group in held]
        raise DataError(
            f"a group must stand in one split alone, but '{group}' has rows in {where[0]} and "
            f"{where[1]} ({int((times > 1).sum())} such); move its rows, or leave the group out"
        )
    return names


def _cut(
    parts: dict[str, tuple[Rows, np.ndarray]], columns: Mapping[str, Column], options: ShardOptions
) -> None:
    """Move rows from train to the splits that are asked for."""
    left = 1.0
    for name in CUTS:
        share = {"test": options.test, "validation": options.validation}[name]
        if share is None:
            continue
        if name in parts or "train" not in parts:
            why = f"there is a split {name} already" if name in parts else "there is no such split"
            raise ConfigError(
                f"{flag(name)}: cuts rows from the split train into one named {name}, but {why} "
                f"(splits: {', '.join(parts)}); leave the option out"
            )
        rows, numbers = parts["train"]
        train, held = _parted(name, rows, numbers, share / left, columns, options.seed)
        parts["train"], parts[name] = (rows, train), (rows, held)
        left -= share


def _parted(
    name: str,
    rows: Rows,
    numbers: np.ndarray,
    share: float,
    columns: Mapping[str, Column],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows that stay and of those that go."""
    targets = next((of_rows[numbers] for of_rows in rows.targets.values()), None)
    if targets is None or targets.dtype == object or not len(labelled(targets)):
        # There is nothing to stratify by
        targets = np.zeros(len(numbers), np.int64)
    else:
        _need_two(targets, columns[next(iter(rows.targets))], name)
    groups = None
    if rows.groups is not None:
        _, groups = np.unique(rows.groups[numbers], return_inverse=True)
    seed = seed_for(seed, "cut", name)
    try:
        _, held = holdout(targets, share, seed, groups, option=flag(name))
    except DataError as error:
        raise DataError(f"{flag(name)}: {error}") from None
    goes = np.isin(np.arange(len(numbers)), held)
    if groups is not None:  # rows without a target go with their group
        goes = np.isin(groups, groups[held])
    return numbers[~goes], numbers[goes]


def _need_two(targets: np.ndarray, column: Column, split: str) -> None:
    if not isinstance(column, LabelColumn):
        return
    counts = np.bincount(targets[targets >= 0], minlength=len(column.classes))
    alone = np.flatnonzero(counts == 1)
    if len(alone):
        raise DataError(
            f"{flag(split)}: a class needs two rows to stand on both sides, but "
            f"'{column.classes[alone[0]]}' has one ({len(alone)} such classes); drop it, or leave "
            f"out {flag(split)}"
        )


def _chunks(
    split: str, rows: Rows, numbers: np.ndarray, groups: np.ndarray | None, group_name: str
) -> Iterator[Chunk]:
    group_of = None
    if groups is not None and rows.groups is not None:
        group_of = np.searchsorted(groups, rows.groups)
    for chunk in rows.chunks(numbers[shuffled(len(numbers), split)]):
        added = {name: of_rows[chunk.places_N] for name, of_rows in rows.targets.items()}
        if group_of is not None:
            added[group_name] = group_of[chunk.places_N]
        yield Chunk(chunk.values | added, np.searchsorted(numbers, chunk.places_N))


def how_to_cut(found: Imported, options: ShardOptions) -> list[str]:
    """Return a note, where all rows are in one split, on how some come into another."""
    if list(found.splits) != ["train"]:
        return []
    return ["all rows are in the split train; --test 0.2 puts a fifth of them into a split test"]


def imported(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    options: ShardOptions,
) -> Imported:
    """Arrange and fit images and labels that are in memory already, a chunk at a time."""
    first, _ = next(iter(splits.values()))
    columns = {"image": image_column(first, options), "label": LabelColumn(classes=classes)}
    rows = {name: _of_images(images, labels, options) for name, (images, labels) in splits.items()}
    return arranged(columns, rows, options)


def _of_images(images: np.ndarray, labels: np.ndarray, options: ShardOptions) -> Rows:
    def chunks(rows: np.ndarray) -> Iterator[Chunk]:
        for part in chunked(rows):
            yield Chunk({"image": fitted(images[part], options)}, part)

    return Rows(len(labels), chunks, {"label": labels})


def in_memory(
    values: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    groups: np.ndarray | None = None,
) -> Rows:
    """Return rows that are in memory already."""
    count = len(next(iter((*values.values(), *targets.values()))))

    def chunks(rows: np.ndarray) -> Iterator[Chunk]:
        for part in chunked(rows):
            yield rows_chunk(values, part)

    return Rows(count, chunks, targets, groups)
