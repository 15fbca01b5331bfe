"""Prefix features: computed once on a machine, memory-mapped, shared by every trial and study.

An entry is a folder named by its key. While it is computed it is a draft, divided into chunks of
rows; every process that needs the entry takes chunks that no other holds, so that waiting processes
help. A lock goes with its process: what a killed one held, another computes.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from raytl.data.branch_rows import ColumnRows
from raytl.files import sha256_of
from raytl.rows import Given
from raytl.training.batches import in_batches
from raytl.training.cache_entries import cache_folder, is_whole, make_room
from raytl.training.entry_files import INFO, OFFSETS, VALUES
from raytl.training.feature_store import Encoded, Features, FeatureWriter
from raytl.training.prefix import Prefix
from raytl.training.published import Published

MOST_CHUNKS = 64
LEAST_ROWS, MOST_ROWS = 32, 4096  # of a chunk, those of more chunks where there are very many
LOCK_S = 3600.0  # at most that long another process may hold what this one waits for
TRIES = 3  # a copy may be deleted between the look at it and its map


@dataclass(frozen=True)
class FeatureRows:
    """Stored prefix features of a split or a view of one, with `done` steps done. `runs`: whether
    blocks are run on them, so that it matters how long they are."""

    stored: Features
    done: int
    runs: bool

    @property
    def lengths(self) -> np.ndarray | None:
        return self.stored.lengths if self.runs else None

    def given(self, rows: np.ndarray) -> Given:
        """Return the features of these rows, copied out of the mapped file."""
        return Given(self.stored.rows(rows), self.done)

    def held(self, rows: np.ndarray) -> "FeatureRows":
        """Return them as they are: on this machine's own disk."""
        return self


@dataclass(frozen=True)
class Room:
    """What a trial has of the cache folder: `budget`, the bytes that all entries may take, and its
    `own` entries, of all its branches, which are not deleted to make room for another of them.
    `published`: what the run's nodes share, where there are several."""

    budget: int
    own: set[Path] = field(default_factory=set)
    published: Published | None = None


def stored_features(prefix: Prefix, fingerprint: str, rows: ColumnRows, room: Room) -> FeatureRows:
    """Return the features of all rows of a dataset's column (its `fingerprint`), computing and
    storing them where they are not yet.

    What another node has published is fetched. Else they are computed, from those of a shorter
    prefix where these are stored in float32. An entry that is not what was written is computed
    again. Other trials' entries that save the fewest seconds per byte go first where the cache
    would grow beyond its budget.
    """
    named = named_rows(fingerprint, rows)
    entry = cache_folder() / prefix.key(named)
    entry.parent.mkdir(parents=True, exist_ok=True)
    room.own.add(entry)
    runs = not prefix.branch.wholly_frozen
    if not is_whole(entry):
        found = _fetched(prefix, room.published, entry.name)
        if found is not None:
            return FeatureRows(found, prefix.done, runs)
        draft = _draft(entry, prefix, rows, room)
        if draft is not None:
            info = _compute(draft, _computing(prefix, named, rows))
            if info is not None and room.published is not None:
                room.published.publish(entry, info)
    return FeatureRows(_open(prefix, entry), prefix.done, runs)


def named_rows(fingerprint: str, rows: ColumnRows) -> list[object]:
    """Return what tells the rows of a dataset's column from others, ready for JSON."""
    return [fingerprint, rows.split.name, rows.column, rows.view and list(rows.view.key)]


def _fetched(prefix: Prefix, published: Published | None, key: str) -> Features | None:
    """Return what another node has published of an entry."""
    for _ in range(TRIES):
        copy = None if published is None else published.fetched(key)
        if copy is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            return _open(prefix, copy)
    return None


def _open(prefix: Prefix, entry: Path) -> Features:
    return Features.open(entry, channels_last=prefix.channels_last)


@dataclass(frozen=True)
class Draft:
    """An entry that is being computed."""

    entry: Path
    rows: int

    @property
    def folder(self) -> Path:
        return self.entry.with_suffix(".draft")

    @property
    def chunks(self) -> list[range]:
        size = min(MOST_ROWS, max(LEAST_ROWS, -(-self.rows // MOST_CHUNKS)))
        return [range(i, min(i + size, self.rows)) for i in range(0, self.rows, size)]

    def done(self, chunk: range) -> Path:
        return self.folder / f"done-{chunk.start}"

    def lock(self, chunk: range) -> Path:
        return self.entry.with_name(f"{self.entry.name}-{chunk.start}.lock")


def _entry_lock(entry: Path) -> FileLock:
    return FileLock(entry.with_suffix(".lock"), timeout=LOCK_S)


def _draft(entry: Path, prefix: Prefix, rows: ColumnRows, room: Room) -> Draft | None:
    """Return the entry's draft, begun or found. None where the entry is whole by now."""
    draft = Draft(entry, rows.count)
    with _entry_lock(entry):
        if is_whole(entry):
            return None
        shutil.rmtree(entry, ignore_errors=True)
        if not (draft.folder / "ready").exists():
            shutil.rmtree(draft.folder, ignore_errors=True)
            first = prefix.of_prepared(rows.prepared(np.arange(1)))
            make_room(entry.parent, room.budget - first.nbytes * rows.count, room.own)
            draft.folder.mkdir()
            FeatureWriter(draft.folder).begin(first, rows.count)
            (draft.folder / "ready").write_text(str(len(draft.chunks)), encoding="utf-8")
    return draft


@dataclass(frozen=True)
class Computing:
    """What computes rows of a split, by their numbers, `at_once` of them in a batch."""

    compute: Callable[[range], Encoded]
    at_once: int

    def batches(self, chunk: range) -> Iterator[tuple[range, Encoded]]:
        """Yield the rows of a chunk, batch after batch; raises as `in_batches`."""
        return in_batches(chunk, self.at_once, self.compute)


def _computing(prefix: Prefix, named: Sequence[object], rows: ColumnRows) -> Computing:
    """Return what computes rows: from the longest shorter prefix that is stored, or from the column
    itself.

    Only float32 is stored in full: what is computed from rounded features would depend on what
    happens to be there.
    """
    at_once = prefix.rows_at_once(rows.prepared(np.arange(1)))
    shorter = range(prefix.depth - 1, 0, -1) if prefix.dtype == "float32" else ()
    for depth in shorter:
        entry = cache_folder() / prefix.key(named, depth)
        if is_whole(entry):
            return Computing(partial(_longer, prefix, _open(prefix, entry), depth), at_once)
    return Computing(lambda some: prefix.of_prepared(rows.prepared(_numbers(some))), at_once)


def _longer(prefix: Prefix, stored: Features, depth: int, some: range) -> Encoded:
    return prefix.of_stored(stored.rows(_numbers(some)), depth)


def _numbers(chunk: range) -> np.ndarray:
    return np.arange(chunk.start, chunk.stop)


def _compute(draft: Draft, computing: Computing) -> dict[str, Any] | None:
    """Compute what is left of a draft; return the entry's info where this process finished it."""
    start, writer = time.perf_counter(), FeatureWriter(draft.folder)
    for timeout in (0.0, LOCK_S):  # first what nobody holds, then what is not done all the same
        for chunk in draft.chunks:
            try:
                with FileLock(draft.lock(chunk), timeout=timeout):
                    if not draft.done(chunk).exists() and draft.folder.exists():
                        writer.fill(chunk, computing.batches(chunk))
                        draft.done(chunk).touch()
            except Timeout:
                if timeout:
                    raise
    info = _finish(draft, time.perf_counter() - start)
    for chunk in draft.chunks:  # each process for itself: it may have made them anew
        draft.lock(chunk).unlink(missing_ok=True)
    return info


def _finish(draft: Draft, seconds: float) -> dict[str, Any] | None:
    """Make the draft the entry and return its info, unless another process has."""
    with _entry_lock(draft.entry):
        if is_whole(draft.entry):
            return None
        FeatureWriter(draft.folder).finish(draft.chunks)
        file, offsets = draft.folder / VALUES, draft.folder / OFFSETS
        info = {
            "bytes": file.stat().st_size,
            "sha256": sha256_of(file),
            "offsets": sha256_of(offsets) if offsets.exists() else None,
            "seconds": seconds,
        }
        (draft.folder / INFO).write_text(json.dumps(info), encoding="utf-8")
        draft.folder.replace(draft.entry)
        # After the replacement: a chunk whose mark is gone would be taken for one that is not done.
        for mark in [draft.entry / "ready", *draft.entry.glob("done-*")]:
            mark.unlink()
        return info
