"""A split that is read in parts, written shard by shard.

Legend: N rows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from raytl.data.begun import Begun
from raytl.data.checking import Apart
from raytl.data.group_column import GroupColumn
from raytl.data.schema import ShardInfo, SplitInfo, column_facts
from raytl.data.shard_writing import Renumbering, ShardTask, renumber, write_task
from raytl.data.stored import Chunk, Each, Readable, StoredRows, Work
from raytl.data.written import RECORDS, Written
from raytl.errors import DataError
from raytl.files import digest_of
from raytl.modalities.column import Column
from raytl.tasks.columns import LabelColumn
from raytl.urls import Place

Progress = Callable[[int], None]  # rows read since the last call


@dataclass
class Seen:
    """What was found while rows were read: those left out, and why; and which classes there are, by
    split and column."""

    left_out: list[str] = field(default_factory=list)
    classes: dict[tuple[str, str], set[int]] = field(default_factory=dict)


@dataclass
class Writing:
    """What the splits of a dataset are written with, `rows` a shard."""

    folder: Place
    columns: Mapping[str, Column]
    rows: int
    progress: Progress
    seen: Seen
    each: Each = map
    begun: Begun | None = None

    def __post_init__(self) -> None:
        self._apart = Apart(self.columns)

    def note(self, split: str, chunk: Chunk) -> None:
        """Note what a split holds; DataError for a group that another one has, too."""
        self._note(split, {name: chunk.values[name] for name in self.columns})

    def note_written(self, split: str, done: Written) -> None:
        """The same of a shard that was written."""
        self.seen.left_out += done.messages
        if done.info is not None:
            self._note(split, done.held)

    def _note(self, split: str, held: Mapping[str, Iterable[int]]) -> None:
        for name, column in self.columns.items():
            if isinstance(column, LabelColumn):
                numbers = np.unique(np.asarray(held[name])).tolist()
                self.seen.classes.setdefault((split, name), set()).update(numbers)
            elif isinstance(column, GroupColumn):
                self._apart.check(np.asarray(held[name], np.int64), split)


@dataclass(frozen=True)
class InParts:
    """A split whose shards are all written. Ids have gaps yet where rows were left out."""

    split: str
    first_id: int
    places_N: np.ndarray  # where each row stands in its source, in the order of storage
    every: tuple[Written, ...]  # in the order of shards

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """Those that hold rows."""
        return tuple(done.info for done in self.every if done.info is not None)

    @property
    def rows(self) -> int:
        """How many were kept."""
        return sum(shard.rows for shard in self.shards)


def write_in_parts(writing: Writing, split: str, stored: StoredRows, first_id: int) -> InParts:
    """Write the shards of a split that are not there yet. Raises as `write_task`, and DataError
    where no row is left."""
    found: dict[int, Written] = {}
    numbers: deque[int] = deque()
    missing = _missing(writing, split, stored, first_id, found, numbers)
    for done in writing.each(partial(write_task, writing.folder), missing):
        found[numbers.popleft()] = done
        writing.note_written(split, done)
        writing.progress(len(done.left_out) + (done.info.rows if done.info else 0))
    every = tuple(found[number] for number in sorted(found))
    written = InParts(split, first_id, stored.places_N, every)
    if not written.shards:
        raise DataError(f"split {split}: no rows; leave the split out or look at the source")
    return written


def close_gaps(writing: Writing, written: InParts) -> SplitInfo:
    """Return what there is to say of a split, its rows numbered without gaps. To be called when all
    splits are written: a shard that is numbered anew has no record, and were it to be gone on with,
    would be written again."""
    shards = written.shards
    left_out = np.sort(
        np.concatenate([np.array(done.left_out, np.int64) for done in written.every])
    )
    if len(left_out):
        shards = tuple(_renumbered(writing, written, left_out))
    return SplitInfo(rows=written.rows, shards=shards)


def _file(split: str, number: int, of: int) -> str:
    return f"{split}-{number:05d}-of-{of:05d}.arrow"


def _missing(
    writing: Writing,
    split: str,
    stored: StoredRows,
    first_id: int,
    found: dict[int, Written],
    numbers: "deque[int]",
) -> Iterator[ShardTask]:
    """Yield the shards to be written and put their numbers into `numbers`; those that stand there
    already into `found`."""
    count = -(-len(stored.places_N) // writing.rows)
    readable: Readable | None = None
    facts = {name: column_facts(column) for name, column in writing.columns.items()}
    for number in range(count):
        start = number * writing.rows
        stop = min(start + writing.rows, len(stored.places_N))
        file, part = _file(split, number, count), stored.part(start, stop)
        digest = None
        if writing.begun is not None:
            digest = digest_of([part.digest(), facts, first_id, writing.begun.plan])
            known = writing.begun.known(file, digest)
            if known is not None:
                found[number] = known
                writing.note_written(split, known)
                writing.progress(stop - start)
                continue
        if stored.gathered is not None:
            if readable is None:
                work = Work(writing.rows, writing.folder / RECORDS, writing.each)
                readable = stored.gathered(work)
            part = readable(start, part)
        numbers.append(number)
        places_N = stored.places_N[start:stop]
        yield ShardTask(file, split, first_id, places_N, part, writing.columns, digest)


def _renumbered(writing: Writing, written: InParts, left_out: np.ndarray) -> list[ShardInfo]:
    """Number the rows anew, so that ids have no gaps, and the shards where one has no row."""
    there = [number for number, done in enumerate(written.every) if done.info is not None]
    tasks = []
    for to, number in enumerate(there):
        places_N = written.places_N[number * writing.rows : (number + 1) * writing.rows]
        places_N = places_N[~np.isin(places_N, left_out)]
        ids_N = written.first_id + places_N - np.searchsorted(left_out, places_N)
        file = _file(written.split, number, len(written.every))
        tasks.append(Renumbering(file, _file(written.split, to, len(there)), ids_N))
    shards = list(writing.each(partial(renumber, writing.folder), tasks))
    for task in tasks:
        if task.to != task.file and isinstance(writing.folder, Path) and writing.begun is None:
            (writing.folder / task.file).unlink()
    return shards
