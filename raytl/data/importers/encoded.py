"""Where the bytes of an image or a sound are: a file here or behind a URL, a piece of one, or in
memory."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from raytl.data.importers.listing import Listed
from raytl.errors import DataError
from raytl.folders import printable
from raytl.remote_files import filesystem_of, reaching, read_bytes
from raytl.urls import Place, Url


@dataclass(frozen=True)
class Piece:
    """`size` bytes from `start` of a file, such as one packed in a tar. `stamp` changes where the
    file's content does."""

    name: str  # what to call it
    place: Place
    start: int
    size: int
    stamp: str


# A file, or what to call it and its bytes
Encoded = Path | Url | Listed | Piece | tuple[str, bytes]


def name_of(item: Encoded) -> str:
    """Return what to call it."""
    if isinstance(item, tuple):
        return item[0]
    if isinstance(item, Piece):
        return item.name
    return item.shown if isinstance(item, Url) else printable(str(item))


def is_far(item: Encoded) -> bool:
    """Whether reading it asks a server, which takes some time for each."""
    return isinstance(item, Url | Listed) or (isinstance(item, Piece) and is_far_place(item.place))


def is_far_place(place: Place) -> bool:
    """Whether a place lies behind a URL."""
    return isinstance(place, Url)


def content_of(item: Encoded) -> bytes | Path:
    """Return its bytes, or the path of a file of this machine. Raises DataError where it is not
    there, RaytlError where it cannot be reached."""
    if isinstance(item, tuple):
        if not item[1]:
            raise DataError(f"{item[0]}: there are no bytes")
        return item[1]
    if isinstance(item, Path):
        return item
    try:
        if isinstance(item, Piece):
            return _piece(item)
        return read_bytes(item.url if isinstance(item, Listed) else item)
    except FileNotFoundError:
        raise DataError(f"{name_of(item)}: no such file") from None
    except OSError as error:  # of a piece of a file of this machine
        raise DataError(f"{name_of(item)}: cannot be read: {error.strerror}") from None


def _piece(piece: Piece) -> bytes:
    if isinstance(piece.place, Url):
        filesystem, path = filesystem_of(piece.place)
        with reaching(piece.place), filesystem.open_input_file(path) as file:
            content = file.read_at(piece.size, piece.start)
    else:
        with piece.place.open("rb") as local:
            local.seek(piece.start)
            content = local.read(piece.size)
    if len(content) != piece.size:
        raise DataError(f"{piece.name}: the file ends before it does; copy it again")
    return bytes(content)


def stamp_of(item: Encoded) -> str:
    """Return a text that changes where the name or the content of a file does; of a URL that nobody
    listed its name alone."""
    if isinstance(item, tuple):
        return f"{item[0]} {sha256(item[1]).hexdigest()}"
    if isinstance(item, Piece):
        return f"{item.place} {item.start} {item.size} {item.stamp}"
    if isinstance(item, Listed):
        return f"{item.url} {item.stamp}"
    if isinstance(item, Url):
        return item
    return f"{printable(item)} {file_stamp(item)}"


def file_stamp(path: Path) -> str:
    """Return what changes where a file of this machine does; empty where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
