"""A node's own copies of what lies behind URLs: fetched once for all its processes, bounded, the
last used kept longest.

An entry, a file or a folder, stands under a name that says what it holds, so that it never goes
out of date; it is fetched to a temporary neighbour and renamed, so that what is there is whole.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from raytl.errors import CorruptError, RaytlError, UserError, why_not_written
from raytl.files import digest_of
from raytl.folders import node_folder
from raytl.remote_files import download, file_at, files_in
from raytl.urls import Place, Url

LIMIT = "RAYTL_SHARD_CACHE_BYTES"  # of all entries of a node; half of the cache's disk by default
LOCK_S = 3600.0  # at most that long another process may fetch what this one waits for
LOOK_AGAIN = 0.02  # of the limit: so much is fetched between two looks at what there is in all
KEPT = 0.9  # of the limit, once entries were deleted
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
    each process that fetches."""

    folder: Path
    limit: int
    _fetched: int = field(default=0, init=False)  # bytes, since this process last looked

    @classmethod
    def of_node(cls) -> "NodeCache":
        """Return the cache that this node's processes share."""
        return cls(node_folder() / "fetched", limit_bytes())

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
            self._fetched += _size(partial)
            if self._fetched >= LOOK_AGAIN * self.limit:
                self._make_room()
            partial.replace(entry)
        except OSError as error:
            raise RaytlError(f"{entry}: cannot keep a copy: {error.strerror or error}") from error
        finally:
            _remove(partial)

    def _make_room(self) -> None:
        """Delete the entries used longest ago where they take more than the limit. A process that
        has mapped one keeps reading it."""
        with contextlib.suppress(Timeout), FileLock(self.folder / "room.lock", timeout=0):
            held = sorted(self._held())
            total, self._fetched = self._fetched + sum(size for _, size, _ in held), 0
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


def _make_folder(folder: Path) -> None:
    """A failure of this machine, as of a full disk: other nodes may have such a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RaytlError(
            f"{folder}: cannot make this folder: {why_not_written(error)}; give another in "
            "RAYTL_CACHE"
        ) from None


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(entry: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def local_copy(place: Place) -> Path:
    """Return where a file or folder is on this machine: a path as it is, a URL once it is fetched.

    Raises FileNotFoundError where nothing is there, RaytlError where it cannot be reached.
    """
    if not isinstance(place, Url):
        return place
    alone = file_at(place)
    found = files_in(place) if alone is None else {place.name: alone}
    if not found:
        raise FileNotFoundError(f"{place.shown}: nothing is there")
    facts = {name: [of.bytes, of.stamp] for name, of in found.items()}
    entry = digest_of([place.shown, facts])[:40]

    def fetch(to: Path) -> None:
        to.mkdir()
        for name in found:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            download(place / name if alone is None else place, to / name)

    folder = NodeCache.of_node().get(entry, fetch)
    return folder if alone is None else folder / place.name
