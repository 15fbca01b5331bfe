"""Files behind URLs: read, listed, copied.

Credentials come from the environment, as the cloud's own tools find them, and are written nowhere.
"""

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.fs import (
    FileInfo,
    FileSelector,
    FileSystem,
    FileType,
    FSSpecHandler,
    LocalFileSystem,
    PyFileSystem,
    copy_files,
)

from raytl.errors import RaytlError, UserError, why_not_written
from raytl.urls import Place, Url, path_in, url_of

CHUNK = 16 * 2**20  # bytes of a request
AT_ONCE = 16  # files that are asked for at once
DELAYED = "allow_delayed_open"  # pyarrow's option in a URL
# How pyarrow's own filesystems say it, with OSError for everything: by S3's and Google's names, and
# by the status of an answer without a body, 400 where a session's token has expired
DENIED = re.compile(
    "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|PERMISSION_DENIED|UNAUTHENTICATED"
    r"|ExpiredToken|InvalidToken|REQUEST_TIME_TOO_SKEWED|HTTP status 40[13]"
    r"|HTTP status 400\) during HeadObject"
)
WITHOUT_FOLDERS = ("s3", "gcs", "abfs")  # where a file needs none above it
# What fsspec's filesystems call what tells one content of a file from another
_VERSION = re.compile("etag|md5|sha|crc|digest|checksum|blob_id|version|modified|created")


@dataclass(frozen=True)
class Found:
    """A file in a folder behind a URL: `stamp` changes where its content does; empty where nothing
    tells."""

    bytes: int
    stamp: str


def filesystem_of(url: str) -> tuple[FileSystem, str]:
    """Return pyarrow's filesystem for a URL, and the path in it: pyarrow's own where it has one,
    else fsspec's. Raises RaytlError where neither knows the scheme or can reach it."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _LOCAL, path_in(url)
    # Without a host a filesystem is opened at its root: fsspec takes local:// for this folder
    root_path = "" if parts.netloc else "/"
    filesystem, root = _opened(url_of(parts._replace(path=root_path, fragment="")))
    return filesystem, f"{root}{path_in(url)}".rstrip("/")


@lru_cache(maxsize=64)
def _opened(url: str) -> tuple[FileSystem, str]:
    """Opened once a process: each time the region of a bucket would be asked for."""
    scheme = urlsplit(url).scheme
    try:
        filesystem, root = FileSystem.from_uri(_in_one_request(url))
        return filesystem, root.rstrip("/")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    except OSError as error:
        raise RaytlError(f"cannot reach {Url(url).shown}: {_first_line(error)}") from error
    from fsspec.core import url_to_fs

    try:
        found, path = url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise RaytlError(f"no filesystem for {scheme}://: {_first_line(error)}") from error
    return PyFileSystem(FSSpecHandler(found)), path.rstrip("/")


def _in_one_request(url: str) -> str:
    """Return the URL with which pyarrow writes a small file to S3 in one request instead of
    three."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or DELAYED in parts.query:
        return url
    query = "&".join(part for part in (parts.query, f"{DELAYED}=true") if part)
    return url_of(parts._replace(query=query))


def read_bytes(url: Url) -> bytes:
    """Return a file's content. Raises FileNotFoundError where it is not there, RaytlError where it
    cannot be reached."""
    filesystem, path = filesystem_of(url)
    with reaching(url), filesystem.open_input_stream(path) as file:
        return bytes(file.read())


def read_text(place: Place) -> str:
    """Return a UTF-8 text, here or behind a URL. Raises as `read_bytes`, and UnicodeDecodeError."""
    if isinstance(place, Url):
        return read_bytes(place).decode()
    return place.read_text(encoding="utf-8")


def opened(place: Place) -> pa.NativeFile:
    """Return a file, here or behind a URL, opened to be read; raises as `read_bytes`."""
    if not isinstance(place, Url):
        return pa.OSFile(str(place))
    filesystem, path = filesystem_of(place)
    with reaching(place):
        return filesystem.open_input_file(path)


def there(place: Place) -> bool:
    """Whether there is such a file or folder, here or behind a URL; raises as `exists`."""
    return exists(place) if isinstance(place, Url) else place.exists()


def exists(url: Url) -> bool:
    """Whether there is such a file or folder. Raises RaytlError where it cannot be reached."""
    filesystem, path = filesystem_of(url)
    with reaching(url):
        return bool(filesystem.get_file_info(path).type != FileType.NotFound)


def file_at(url: Url) -> Found | None:
    """Return what is known of a file; None where there is none, or a folder. Raises RaytlError
    where it cannot be reached."""
    filesystem, path = filesystem_of(url)
    with reaching(url):
        info = filesystem.get_file_info(path)
        return _found(filesystem, info) if info.type == FileType.File else None


def files_in(url: Url, below: bool = True) -> Mapping[str, Found]:
    """Return the files in a folder and, if asked for, `below`, by their paths in it; none where it
    is not there. Raises RaytlError where it cannot be reached."""
    filesystem, path = filesystem_of(url)
    selector = FileSelector(path, recursive=below, allow_not_found=True)
    with reaching(url):
        infos = [i for i in filesystem.get_file_info(selector) if i.type == FileType.File]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(partial(_found, filesystem), infos))
    names = [str(PurePosixPath(info.path).relative_to(path)) for info in infos]
    return dict(zip(names, found, strict=True))


def _found(filesystem: FileSystem, info: FileInfo) -> Found:
    """What pyarrow tells of a file of fsspec's is no version where that has no `mtime`."""
    if info.mtime_ns is not None:
        return Found(info.size, str(info.mtime_ns))
    if not isinstance(filesystem, PyFileSystem):
        return Found(info.size, "")
    facts = filesystem.handler.fs.info(info.path)
    told = [f"{key}={facts[key]}" for key in facts if _VERSION.search(key.lower()) and facts[key]]
    return Found(info.size, " ".join(sorted(told)))


def download(url: Url, to: Path) -> None:
    """Copy a file to this machine. Raises as `read_bytes`."""
    filesystem, path = filesystem_of(url)
    with reaching(url):
        copy_files(
            path, str(to), source_filesystem=filesystem, destination_filesystem=_LOCAL,
            chunk_size=CHUNK,
        )  # fmt: skip


def upload(file: Path, url: Url) -> None:
    """Copy a file of this machine behind a URL. Raises RaytlError where that cannot be."""
    filesystem, path = filesystem_of(url)
    with reaching(url, "write"):
        if filesystem.type_name not in WITHOUT_FOLDERS:
            filesystem.create_dir(str(PurePosixPath(path).parent), recursive=True)
        copy_files(
            str(file), path, source_filesystem=_LOCAL, destination_filesystem=filesystem,
            chunk_size=CHUNK,
        )  # fmt: skip


def fetch(place: Place, to: Path) -> None:
    """Copy a file, here or behind a URL, to this machine's own disk. Raises as `read_bytes`."""
    if isinstance(place, Url):
        download(place, to)
    else:
        shutil.copyfile(place, to)


def put(file: Path, place: Place) -> None:
    """Copy a file of this machine to where it belongs, here or behind a URL, whole or not at all;
    the folder is made. Raises RaytlError where that cannot be."""
    if isinstance(place, Url):
        upload(file, place)
        return
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, partial)
        partial.replace(place)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RaytlError(f"{place}: cannot write: {why_not_written(error)}") from error


def put_text(text: str, place: Place) -> None:
    """Write a UTF-8 text, here or behind a URL; raises as `put`."""
    with TemporaryDirectory(prefix="raytl-") as folder:
        file = Path(folder) / "text"
        file.write_text(text, encoding="utf-8")
        put(file, place)


def delete(place: Place) -> None:
    """Delete a file, here or behind a URL, if it is there. Raises RaytlError where that cannot
    be."""
    if not isinstance(place, Url):
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise RaytlError(f"{place}: cannot delete: {error.strerror or error}") from error
        return
    filesystem, path = filesystem_of(place)
    with contextlib.suppress(FileNotFoundError), reaching(place, "delete"):
        filesystem.delete_file(path)


_LOCAL = LocalFileSystem()


@contextlib.contextmanager
def reaching(url: Url, what: str = "read") -> Iterator[None]:
    """Let what a filesystem raises name the URL: FileNotFoundError stays one, all else is what
    `refusal` returns."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refusal(url.shown, what, error) from error


def refusal(place: str, what: str, error: OSError) -> RaytlError:
    """Return what to raise where a filesystem refuses: a UserError where access is denied."""
    if is_denied(error):
        return UserError(
            f"{place}: may not {what} it ({_first_line(error)}); give this machine the "
            "credentials or the role that may"
        )
    return RaytlError(f"{place}: cannot {what} it: {_first_line(error)}")


def is_denied(error: OSError) -> bool:
    """Whether a filesystem says that access is denied: to wait does not help."""
    return isinstance(error, PermissionError) or DENIED.search(str(error)) is not None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
