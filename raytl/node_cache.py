"""A node's own copies of what lies behind URLs: fetched once for all its processes, bounded, the
last used kept longest.

An entry, a file or a folder, stands under a name that says what it holds, so that it never goes
out of date; it is fetched to a temporary neighbour and renamed, so that what is there is whole.
"""

import contextlib
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from raytl.errors import CorruptError, RaytlError, UserError
from raytl.files import digest_of
from raytl.folders import make_folder, node_folder
from raytl.remote_files import Found, download, file_at, files_in
from raytl.urls import Place, Url

LIMIT = "RAYTL_SHARD_CACHE_BYTES"  # of all entries of a node; half of the cache's disk by default
LOCK_S = 3600.0  # at most that long another process may fetch what this one waits for
LOOK_AGAIN = 0.02  # of the limit: so much is fetched between two looks at what there is in all
KEPT = 0.9  # of the limit, once entries were deleted
ONCE = uuid.uuid4().hex  # for files of which nothing tells a new content: a copy a process
ROUNDS = 3  # a copy that comes broken is fetched so often


def limit_bytes() -> int:
    """Return how many bytes a node's copies may take. Raises UserError where the variable LIMIT is
    no whole number."""
    text = os.environ.get(LIMIT)
    if text is None:
        _make_folder(node_folder())
        return shutil.disk_usage(node_folder()).total // 2
    if not (text.isdecimal() and int(text)):
        raise UserError(f"{LIMIT}: must be a number of bytes >= 1, got '{text}'")
    return int(text)


@dataclass
class NodeCache:
    """The copies in `folder`. `limit`: bytes of all of them, exceeded by a fiftieth at most for
    each process that fetches. Sent to another process it is that of the node there."""

    folder: Path
    limit: int
    _unseen: float = field(default=math.inf, init=False)  # bytes fetched since the last look

    @classmethod
    def of_node(cls) -> "NodeCache":
        """Return the cache that this node's processes share, one object a process."""
        return _cache(node_folder() / "fetched", limit_bytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_node, ()

    def get(self, name: str, fetch: Callable[[Path], None]) -> Path:
        """Return the entry `name`; where it is not there, `fetch` makes it at the path that it is
        given. Of several processes that need it one fetches. What `fetch` raises is raised; a
        CorruptError only where it comes again."""
        entry = self.folder / name
        if not self._used(entry):
            _make_folder(self.folder)
            try:
                with FileLock(self._lock(name), timeout=LOCK_S):
                    if not self._used(entry):
                        self._make(entry, fetch)
            except Timeout:
                raise RaytlError(
                    f"{entry}: another process of this node has been fetching a copy for "
                    f"{LOCK_S:.0f} s; see whether it still runs"
                ) from None
        return entry

    def _lock(self, name: str) -> Path:
        """A few locks for all entries, never deleted: one that waits must not be left behind."""
        return self.folder / f"{digest_of(name)[:2]}.lock"

    def _used(self, entry: Path) -> bool:
        try:
            os.utime(entry)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _make(self, entry: Path, fetch: Callable[[Path], None]) -> None:
        for left in self.folder.glob(f".{entry.name}.*.partial"):  # of a process that was killed
            _remove(left)
        partial = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            for left_over in reversed(range(ROUNDS)):
                try:
                    fetch(partial)
                    break
                except CorruptError:
                    _remove(partial)
                    if not left_over:
                        raise
            size = _size(partial)
            self._unseen += size
            if self._unseen >= LOOK_AGAIN * self.limit:
                self._make_room(size)
            partial.replace(entry)
        except OSError as error:
            raise RaytlError(f"{entry}: cannot keep a copy: {error.strerror or error}") from error
        finally:
            _remove(partial)

    def _make_room(self, coming: int) -> None:
        """Delete the entries used longest ago where they and the bytes that are `coming` take more
        than the limit. A process that has mapped one keeps reading it."""
        with contextlib.suppress(Timeout), FileLock(self.folder / "room.lock", timeout=0):
            held = sorted(self._held())
            total, self._unseen = coming + sum(size for _, size, _ in held), 0
            if total <= self.limit:
                return
            for _, size, entry in held:
                if total <= KEPT * self.limit:
                    return
                _remove(entry)
                total -= size

    def _held(self) -> Iterator[tuple[float, int, Path]]:
        for found in os.scandir(self.folder):
            if not found.name.startswith(".") and not found.name.endswith(".lock"):
                with contextlib.suppress(FileNotFoundError):
                    yield found.stat().st_mtime, _size(Path(found.path)), Path(found.path)


@lru_cache(maxsize=16)
def _cache(folder: Path, limit: int) -> NodeCache:
    return NodeCache(folder, limit)


def _of_node() -> NodeCache:
    """What Ray pickles by name, as it does no method of a class."""
    return NodeCache.of_node()


def _make_folder(folder: Path) -> None:
    """A failure of this machine, as of a full disk: other nodes may have such a folder."""
    try:
        make_folder(folder)
    except UserError as error:
        raise RaytlError(f"{error} in RAYTL_CACHE") from None


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(entry: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def local_file(place: Place) -> Path:
    """Return where a file is on this machine: a path as it is, a URL once it is fetched.

    Raises FileNotFoundError where no file is there, RaytlError where it cannot be reached or kept.
    """
    if not isinstance(place, Url):
        return place
    alone = file_at(place)
    if alone is None:
        raise FileNotFoundError(f"{place.shown}: no file is there")
    return _copy(place.folder, {place.name: alone}) / place.name


def local_folder(place: Place, told_by: str, patterns: Sequence[str]) -> Path:
    """Return where a folder is on this machine: a path as it is, of a URL a copy of its files, but
    of none below, whose names fit `patterns`. `told_by`: the file that it must hold.

    Raises FileNotFoundError where that is missing, RaytlError where the folder cannot be reached or
    kept.
    """
    if not isinstance(place, Url):
        return place
    found = files_in(place, below=False)
    if told_by not in found:
        raise FileNotFoundError(f"{place.shown}: {told_by} is missing")
    fits = {n: of for n, of in found.items() if any(fnmatchcase(n, one) for one in patterns)}
    return _copy(place, fits)


def _copy(folder: Url, files: Mapping[str, Found]) -> Path:
    """Return this node's copy of the files of a folder."""
    cache, num_bytes = NodeCache.of_node(), sum(of.bytes for of in files.values())
    if num_bytes > cache.limit:
        raise RaytlError(
            f"{folder.shown}: {', '.join(files)} take {num_bytes} bytes, but all copies of this "
            f"node may take {cache.limit}; set {LIMIT} higher, or RAYTL_CACHE to a larger disk"
        )

    def fetch(to: Path) -> None:
        to.mkdir()
        for name in files:
            download(folder / name, to / name)

    facts = {name: [of.bytes, of.stamp or ONCE] for name, of in files.items()}
    return cache.get(digest_of([folder.shown, facts])[:40], fetch)
