"""The folder of a node's prefix features: what in it is whole, and what goes to make room."""

import json
import shutil
import time
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from raytl import folders
from raytl.files import sha256_of
from raytl.training.entry_files import INFO, OFFSETS, VALUES

STALE_S = 7 * 86400.0  # drafts that nobody touched for so long are deleted


def cache_folder() -> Path:
    """Return the folder of the prefix features."""
    return folders.node_folder() / "prefix"


def progress() -> tuple[int, int]:
    """Return how many chunks of all drafts of this machine are done, and how many there are."""
    done = total = 0
    for ready in cache_folder().glob("*.draft/ready"):
        try:
            total += int(ready.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # finished in between
            continue
        done += sum(1 for _ in ready.parent.glob("done-*"))
    return done, total


def _info(entry: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((entry / INFO).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def is_whole(entry: Path) -> bool:
    """Whether the entry is there and is what was written."""
    info, file = _info(entry), entry / VALUES
    if info is None or not file.exists() or file.stat().st_size != info["bytes"]:
        return False
    offsets = entry / OFFSETS
    known = [(file, info["sha256"])] + ([(offsets, info["offsets"])] if info["offsets"] else [])
    return all(f.exists() and _matches(f, f.stat().st_mtime_ns, sha) for f, sha in known)


@lru_cache(maxsize=256)
def _matches(file: Path, mtime_ns: int, sha256: str) -> bool:
    # Once a process: a warm trial does not read the whole entry again.
    return sha256_of(file) == sha256


def make_room(folder: Path, budget: int, kept: Collection[Path] = ()) -> None:
    """Delete entries until they take at most `budget` bytes, the fewest seconds per byte first;
    those that are `kept` count and stay.

    A process that still maps a deleted entry keeps reading it.
    """
    for draft in folder.glob("*.draft"):
        if time.time() - draft.stat().st_mtime > STALE_S:
            shutil.rmtree(draft, ignore_errors=True)
    infos = {entry: _info(entry) for entry in folder.iterdir() if entry.is_dir()}
    held = {entry: info for entry, info in infos.items() if info is not None}
    total = sum(info["bytes"] for info in held.values())
    others = held.keys() - set(kept)
    for entry in sorted(others, key=lambda e: held[e]["seconds"] / max(1, held[e]["bytes"])):
        if total <= budget:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= held[entry]["bytes"]
