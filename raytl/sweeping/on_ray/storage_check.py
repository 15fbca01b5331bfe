"""What a node may do where runs are kept: write, read, list, delete, and by which clock."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLateError
from dataclasses import dataclass, field

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from raytl.errors import RaytlError
from raytl.remote_files import filesystem_of, reaching
from raytl.urls import Url

PREFIX = ".raytl-doctor-"
ANSWER_S = 60.0  # for all of it: a bucket that cannot be reached is tried for minutes


@dataclass(frozen=True)
class StorageFacts:
    """What came of it on a node. `refused`: what it may not do, each with why; `skew_s`: by how
    many seconds its clock is ahead of the storage's, None where that keeps no time; `seconds`: how
    long all of it took."""

    refused: list[str] = field(default_factory=list)
    skew_s: float | None = None
    seconds: float = 0.0


def check_storage(url: Url, note: str, text: str) -> StorageFacts:
    """Try everything that a run needs, in the folder behind `url`; leave nothing there.

    `note`: a file there that the driver has written `text` into.
    """
    pool, begin = ThreadPoolExecutor(1), time.monotonic()
    try:
        found = pool.submit(_try_all, url, note, text).result(ANSWER_S)
    except TooLateError:
        found = StorageFacts([f"cannot reach it: no answer within {ANSWER_S:g} s"])
    except RaytlError as error:
        found = StorageFacts([str(error)])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return StorageFacts(found.refused, found.skew_s, time.monotonic() - begin)


def write_note(url: Url, text: str) -> str:
    """Write `text` into a new file behind the URL; return its name. Raises RaytlError where that
    cannot be."""
    name = f"{PREFIX}{uuid.uuid4().hex}"
    filesystem, path = filesystem_of(url)
    with reaching(url, "write"):
        _write(filesystem, path, name, text)
    return name


def delete_note(url: Url, name: str) -> None:
    """Delete the file again. Raises RaytlError where that cannot be."""
    filesystem, path = filesystem_of(url)
    with reaching(url, "delete"):
        filesystem.delete_file(f"{path}/{name}")


def _try_all(url: Url, note: str, text: str) -> StorageFacts:
    filesystem, folder = filesystem_of(url)
    name, refused = f"{PREFIX}{uuid.uuid4().hex}", list[str]()
    before = time.time()
    _attempt(url, "write", lambda: _write(filesystem, folder, name, text), refused)
    if refused:  # the rest hangs on it
        return StorageFacts(refused)
    after = time.time()
    _attempt(url, "read", lambda: _same(_read(filesystem, folder, name), text), refused)
    _attempt(url, "read what the driver wrote to", lambda: _same(
        _read(filesystem, folder, note), text), refused)  # fmt: skip
    infos = list[FileInfo]()
    _attempt(url, "list", lambda: infos.append(_listed(filesystem, folder, name)), refused)
    _attempt(url, "delete", lambda: _deleted(filesystem, f"{folder}/{name}"), refused)
    return StorageFacts(refused, _skew(infos, before, after))


def _attempt(url: Url, what: str, act: Callable[[], None], refused: list[str]) -> None:
    try:
        with reaching(url, what):
            act()
    except (RaytlError, FileNotFoundError) as error:
        refused.append(str(error))


def _write(filesystem: FileSystem, folder: str, name: str, text: str) -> None:
    if filesystem.type_name not in ("s3", "gcs", "abfs"):
        filesystem.create_dir(folder, recursive=True)
    with filesystem.open_output_stream(f"{folder}/{name}") as file:
        file.write(text.encode())


def _read(filesystem: FileSystem, folder: str, name: str) -> str:
    with filesystem.open_input_stream(f"{folder}/{name}") as file:
        return bytes(file.read()).decode("utf-8", "replace")


def _same(found: str, text: str) -> None:
    if found != text:
        raise OSError(f"it gives {found[:40]!r} where {text[:40]!r} was written")


def _listed(filesystem: FileSystem, folder: str, name: str) -> FileInfo:
    infos = filesystem.get_file_info(FileSelector(folder))
    try:
        return next(info for info in infos if info.base_name == name)
    except StopIteration:
        raise OSError("what was just written is not in the list") from None


def _deleted(filesystem: FileSystem, path: str) -> None:
    filesystem.delete_file(path)
    if filesystem.get_file_info(path).type != FileType.NotFound:
        raise OSError("what was deleted is still there")


def _skew(infos: list[FileInfo], before: float, after: float) -> float | None:
    """Return by how much this clock is ahead of the storage's, whose times are whole seconds."""
    if not infos or infos[0].mtime is None:
        return None
    written = infos[0].mtime.timestamp()
    return max(before - (written + 1.0), 0.0) - max(written - after, 0.0)
