"""Folders written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

from raytl.errors import RaytlError, UserError, why_not_written
from raytl.urls import Place, Url

# Types of file systems that nodes share, as mounts call them, by their beginnings.
SHARED = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "afs", "orangefs", "fuse.")
NOT_SHARED = ("fuse.fuse-overlayfs", "fuse.lxcfs")


def rooted(path: Path | str) -> Path:
    """Return an absolute path. A relative one is taken from RAYTL_ROOT where that is set (the
    shared file system of a cluster, say), else from the working directory."""
    return Path(os.environ.get("RAYTL_ROOT", "")).absolute() / path


def printable(path: Path | str) -> str:
    r"""Return a path as text that every terminal takes: bytes that are no UTF-8 as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def cache_folder() -> Path:
    """Return the folder of what can be computed again: RAYTL_CACHE, or raytl's folder under the
    user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("RAYTL_CACHE") or Path(base) / "raytl")


def node_folder() -> Path:
    """Return the folder of what this node alone keeps, maps and deletes: the cache folder, but
    where that lies on a file system that nodes share a folder among the temporary files: what one
    node has mapped from there, another could delete."""
    folder = cache_folder()
    if shared_type(folder) is None:
        return folder
    return Path(tempfile.gettempdir()) / f"raytl-{os.getuid()}"


def shared_type(folder: Path) -> str | None:
    """Return the type of the file system that a folder lies on, or will lie on, where that is one
    that nodes share (NFS, say); else None. What is mounted is looked at once a process."""
    return _shared_type(Path(os.path.realpath(folder)))


@lru_cache(maxsize=64)
def _shared_type(folder: Path) -> str | None:
    import psutil

    above = {str(folder), *map(str, folder.parents)}
    # Of several at one place the last one mounted is seen: max takes the first of equal ones
    mounts = [m for m in psutil.disk_partitions(all=True)[::-1] if m.mountpoint in above]
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""
    return kind if kind.startswith(SHARED) and kind not in NOT_SHARED else None


def sharing_note() -> str | None:
    """Return what a person is to know where the cache folder is one that nodes share."""
    kind = shared_type(cache_folder())
    if kind is None:
        return None
    return (
        f"RAYTL_CACHE: {cache_folder()} lies on {kind}, which nodes share; features and copies of "
        f"data are kept in {node_folder()} instead, so name a folder of the node's own disk"
    )


def refuse_existing(out: Place, force: bool, told_by: str | None = None) -> None:
    """Raise UserError where `out` stands already and is not to be replaced, or cannot be made;
    RaytlError where a URL cannot be reached. `told_by`: the file that a folder must hold for
    `force` to replace it, unless it is empty."""
    there = _names_at(out)
    if there is not None and not force:
        raise UserError(f"{out}: exists already; remove it, give another folder or use --force")
    if there and told_by is not None and told_by not in there:
        raise UserError(
            f"{out}: --force replaces what an earlier run of the command wrote, and this is "
            f"none ({told_by} is missing); remove it or give another folder"
        )
    if not isinstance(out, Url):
        check_place(out)


def _names_at(out: Place) -> Collection[str] | None:
    """Return what lies in a folder, a file's own name where it is one; None where nothing is
    there."""
    if isinstance(out, Url):
        from raytl.remote_files import files_in

        return files_in(out) or None
    if not os.path.lexists(out):
        return None
    try:
        return {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    except OSError as error:
        raise UserError(
            f"{out}: cannot look into this folder: {error.strerror}; give another one"
        ) from None


def check_place(path: Path) -> None:
    """Raise UserError where no folder can be made at `path`, without making it."""
    place = path.absolute()
    try:
        above = next(folder for folder in (place, *place.parents) if folder.exists())
        if above != place:
            _temporary(place).exists()
    except OSError as error:  # a name that is too long, say
        raise UserError(
            f"{path}: cannot make this folder: {error.strerror}; give another one"
        ) from None
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "may not be written to" if above.is_dir() else "is no folder"
        raise UserError(f"{path}: cannot make this folder: {above} {what}; give another one")


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises UserError where the system refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: cannot make this folder: {why_not_written(error)}; give another one"
        ) from None


@contextlib.contextmanager
def new_folder(out: Place, force: bool = False, told_by: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `out` when the block ends well. `told_by`: as
    `refuse_existing` takes it.

    Raises UserError where `out` exists without `force`, and RaytlError where the disk is full or a
    URL cannot be reached; nothing half-written stays that could be taken for whole.
    """
    refuse_existing(out, force, told_by)
    if isinstance(out, Url):
        with tempfile.TemporaryDirectory(prefix="raytl-") as folder:
            yield Path(folder)
            _upload(Path(folder), out)
    else:
        with _replacing(out) as temporary:
            yield temporary


def _upload(folder: Path, out: Url) -> None:
    """Copy a folder behind a URL. What describes it, a .json file, goes away first and comes last:
    without it nothing there is taken for a dataset or a source model."""
    from raytl.remote_files import delete, files_in, upload

    old = [*files_in(out)]
    new = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    for name in sorted(old, key=_describes, reverse=True):
        if _describes(name) or name not in new:
            delete(out / name)
    for name in sorted(new, key=_describes):
        upload(folder / name, out / name)


def _describes(name: str) -> bool:
    return name.endswith(".json")


def _temporary(place: Path) -> Path:
    return place.with_name(f".{place.name}.partial")


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield a neighbour of `out` that replaces it; what a killed run left is cleared first."""
    place = Path(os.path.abspath(out))  # "." has no name
    temporary = _temporary(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)
        os.replace(temporary, place)
    except OSError as error:
        raise RaytlError(
            f"{out}: cannot write: {why_not_written(error)}; nothing was kept"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
