"""Trials that were trained before, by any study of this user, under the cache folder.

An entry is a folder named by the digest of all that a trial's numbers hang on: its record, and for
a retraining its last checkpoint and predictions. It is written whole or not at all, and used only
where every byte is as written. Those that were not used for the longest time go first.
"""

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from raytl.errors import CorruptError
from raytl.files import sha256_of
from raytl.folders import cache_folder, new_folder
from raytl.sweeping.kept.records import FILE_NAME, Trained

FORMAT = 1
INFO = "info.json"
SHARE = 1 / 64  # of the budget that is written before what is held is looked at again
LONGEST_WAIT_S = 3600.0  # for another process that trains the same trial


def store_folder() -> Path:
    """Return the folder of the trials."""
    return cache_folder() / "trials"


@dataclass(frozen=True)
class Entry:
    """What the store holds of one trial."""

    key: str
    study: str
    trial: str
    epochs: int
    failed: bool  # by an error of its own
    bytes: int
    used: float  # seconds since 1970


class TrialStore:
    """`budget`: bytes that all entries may take, but for what was written last."""

    def __init__(self, budget: int) -> None:
        self._folder, self._budget = store_folder(), budget
        self._unseen = math.inf  # bytes that were written since all entries were looked at
        self._locks: dict[str, FileLock] = {}
        self._waits: dict[str, float] = {}

    def find(self, key: str) -> tuple[Trained, Path | None] | None:
        """Return a trial's record and the folder of its checkpoint, where one is kept. An entry
        that is not what was written is deleted."""
        entry = self._folder / key
        if not entry.is_dir():
            return None
        try:
            _verify(entry)
            trained = Trained.parse((entry / FILE_NAME).read_text(encoding="utf-8"), str(entry))
        except (CorruptError, OSError):
            shutil.rmtree(entry, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(entry / INFO)
        files = entry / "checkpoint"
        return trained, files if files.is_dir() else None

    def claim(self, key: str) -> bool:
        """Whether this process may train a trial: no other does so just now, or has for ever."""
        if key in self._locks:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            since = self._waits.setdefault(key, time.monotonic())
            return time.monotonic() - since > LONGEST_WAIT_S
        self._locks[key] = lock
        return True

    def release(self, key: str) -> None:
        """Let others train a trial that this process has claimed."""
        lock = self._locks.pop(key, None)
        if lock is not None:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def put(self, key: str, study: str, trained: Trained, checkpoint: Path | None) -> None:
        """Keep a trial, unless more is kept of it already. Raises RaytlError where the disk is
        full."""
        entry = self._folder / key
        held = _entry(entry)
        if held is not None and (held.epochs, held.failed) >= _extent(trained):
            return
        with new_folder(entry, force=True) as folder:
            (folder / FILE_NAME).write_text(trained.dump(), encoding="utf-8")
            if checkpoint is not None:
                (folder / "checkpoint").mkdir()
                for file in checkpoint.iterdir():
                    shutil.copy(file, folder / "checkpoint")
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            size = sum(file.stat().st_size for file in files)
            epochs, failed = _extent(trained)
            info = {
                "format": FORMAT, "study": study, "trial": trained.config["name"],
                "epochs": epochs, "failed": failed,
                "bytes": size,
                "sha256": {str(file.relative_to(folder)): sha256_of(file) for file in files},
            }  # fmt: skip
            (folder / INFO).write_text(json.dumps(info), encoding="utf-8")
        self._unseen += size
        if self._unseen > SHARE * self._budget:
            self._make_room()
            self._unseen = 0

    def _make_room(self) -> None:
        for left in self._folder.glob(".*"):  # by processes that were killed
            with contextlib.suppress(OSError):  # or that has renamed it by now
                if time.time() - left.stat().st_mtime > LONGEST_WAIT_S:
                    shutil.rmtree(left, ignore_errors=True)
        held = sorted(entries(), key=lambda entry: entry.used)
        total = sum(entry.bytes for entry in held)
        for entry in held:
            if total <= self._budget:
                return
            shutil.rmtree(self._folder / entry.key, ignore_errors=True)
            total -= entry.bytes

    def close(self) -> None:
        """Let go of all that this process has claimed."""
        for key in list(self._locks):
            self.release(key)


def entries() -> list[Entry]:
    """Return what the store holds, the last used first."""
    found = [_entry(folder) for folder in store_folder().glob("[!.]*") if folder.is_dir()]
    return sorted((e for e in found if e is not None), key=lambda entry: -entry.used)


def clear() -> int:
    """Delete every entry, and what is left of broken ones; return how many entries there were.
    Folders of anything else, where RAYTL_CACHE names one that is no cache alone, stay."""
    held = len(entries())
    for folder in store_folder().glob("*"):
        own = folder.name.endswith(".partial") or (folder / INFO).exists()
        if folder.is_dir() and (own or (folder / FILE_NAME).exists()):
            shutil.rmtree(folder, ignore_errors=True)
    return held


def _entry(folder: Path) -> Entry | None:
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        return Entry(
            folder.name, str(info["study"]), str(info["trial"]), int(info["epochs"]),
            bool(info["failed"]), int(info["bytes"]), (folder / INFO).stat().st_mtime,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _extent(trained: Trained) -> tuple[int, bool]:
    """Return how much is known of a trial: its epochs, and whether it failed after them."""
    return len(trained.curve), trained.error is not None


def _verify(entry: Path) -> None:
    """Raise CorruptError where a file of the entry is not what was written."""
    try:
        info = json.loads((entry / INFO).read_text(encoding="utf-8"))
        whole = info["format"] == FORMAT and all(
            sha256_of(entry / name) == wanted for name, wanted in info["sha256"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise CorruptError(f"{entry}: not what was written")


@contextlib.contextmanager
def opened(budget: int) -> Iterator[TrialStore]:
    """Yield the store; claims end with the block."""
    store = TrialStore(budget)
    try:
        yield store
    finally:
        store.close()
