"""Who stands in which split: rows as they were found, cut and shuffled, with targets and groups.

Legend: N rows.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from raytl.data.group_column import GroupColumn
from raytl.data.importers.base import Imported, ShardOptions, flag, image_column, shuffled
from raytl.data.importers.inputs import fitted_input
from raytl.data.importers.split_rows import Rows, rows_of
from raytl.data.split_names import parts_of
from raytl.data.stored import Chunk, Part, Readable, StoredRows, Work
from raytl.data.subsets import holdout, labelled
from raytl.errors import ConfigError, DataError
from raytl.files import digest_of
from raytl.modalities.column import Column
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn


def arranged(
    columns: Mapping[str, Column],
    splits: Mapping[str, Rows],
    options: ShardOptions,
    group_name: str = "group",
) -> Imported:
    """Return what there is to write: `--test` and `--validation` cut from the split that is
    learnt from, every split in shuffled order.

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
    stored = {
        name: _stored(name, rows, numbers, groups, group_name)
        for name, (rows, numbers) in parts.items()
    }
    return Imported(columns, stored, sum(rows.count for rows in splits.values()), notes=notes)


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


def cuts(splits: Collection[str], options: ShardOptions) -> dict[str, float]:
    """Return the shares of `learnt_from(splits)` that `--test` and `--validation` ask for, by the
    names of the splits that they become. Raises ConfigError where no split is called train or the
    like, or there is one of such a name."""
    shares = {"test": options.test, "validation": options.validation}
    found = {name: share for name, share in shares.items() if share is not None}
    train = learnt_from(splits)
    for name in found:
        if name in splits or train is None:
            why = f"there is a split {name} already" if name in splits else "there is no such split"
            raise ConfigError(
                f"{flag(name)}: cuts rows from the split {train or 'train'} into one named {name}, "
                f"but {why} (splits: {', '.join(splits)}); leave the option out"
            )
    return found


def learnt_from(splits: Collection[str]) -> str | None:
    """Return the split that is called train, or the like; None where there is none."""
    return parts_of(splits).train


def _cut(
    parts: dict[str, tuple[Rows, np.ndarray]], columns: Mapping[str, Column], options: ShardOptions
) -> None:
    """Move rows to the splits that are asked for."""
    left, source = 1.0, learnt_from(parts)
    for name, share in cuts(parts, options).items():
        assert source is not None
        rows, numbers = parts[source]
        train, held = _parted(name, rows, numbers, share / left, columns, options.seed)
        parts[source], parts[name] = (rows, train), (rows, held)
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


@dataclass(frozen=True)
class _ArrangedPart:
    """Rows with their targets and groups, and their places in the split."""

    rows: Part
    places_N: np.ndarray
    added: dict[str, np.ndarray]  # by column

    def read(self, left_out: list[str]) -> Iterator[Chunk]:
        for chunk in self.rows.read(left_out):
            added = {name: of_rows[chunk.places_N] for name, of_rows in self.added.items()}
            yield Chunk(chunk.values | added, self.places_N[chunk.places_N])

    def digest(self) -> str:
        held = {"places": self.places_N} | self.added
        return digest_of([self.rows.digest(), {n: of.tolist() for n, of in held.items()}])


def _stored(
    split: str, rows: Rows, numbers: np.ndarray, groups: np.ndarray | None, group_name: str
) -> StoredRows:
    added = dict(rows.targets)
    if groups is not None and rows.groups is not None:
        added[group_name] = np.searchsorted(groups, rows.groups)
    order = shuffled(len(numbers), split)

    def part(start: int, stop: int) -> _ArrangedPart:
        places_N = order[start:stop]
        own = numbers[places_N]
        return _ArrangedPart(
            rows.part(own), places_N, {name: of_rows[own] for name, of_rows in added.items()}
        )

    if rows.gathered is None:
        return StoredRows(order, part)

    def gathered(work: Work) -> Readable:
        assert rows.gathered is not None
        readable = rows.gathered(numbers[order], work)

        def of_shard(start: int, part: Part) -> Part:
            assert isinstance(part, _ArrangedPart)
            return replace(part, rows=readable(start, part.rows))

        return of_shard

    return StoredRows(order, part, gathered)


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
    rows = {
        name: rows_of(
            {"image": fitted_input(columns["image"], images, options)}, np.arange(len(labels)),
            {"label": labels}, None, options,
        )
        for name, (images, labels) in splits.items()
    }  # fmt: skip
    return arranged(columns, rows, options)
