"""What a tar of samples holds: where each member's bytes are, so that any can be read alone.

The layout is WebDataset's: members of one sample have one name up to its first dot, and what comes
behind it says what they are.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Any

from raytl.data.importers.encoded import Piece
from raytl.data.importers.many_files import FileAt, reading_file
from raytl.data.importers.words_of_json import word_of
from raytl.errors import DataError
from raytl.remote_files import opened
from raytl.urls import Url

BUFFER = 4 * 2**20  # bytes that are read at once
BLOCK = 512  # bytes of a header, and of the end mark
MOST_BYTES = 2**20  # of a member that tells the target
WORDS = ("cls", "json")  # members that tell something of the others


@dataclass
class Sample:
    """Members of one name: where they are, by extension, and what .cls and .json say."""

    key: str
    tar: FileAt
    members: dict[str, tuple[int, int]] = field(default_factory=dict)  # start and size
    words: dict[str, str | None] = field(default_factory=dict)  # cls, and keys of json

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.tar.name}: {self.key}"

    def piece(self, extension: str) -> Piece:
        """Return where a member is."""
        start, size = self.members[extension]
        name = f"{self.tar.name}: {self.key}.{extension}"
        return Piece(name, self.tar.place, start, size, self.tar.stamp)


@dataclass(frozen=True)
class Index:
    """The samples of a tar, in its order, and what was passed over."""

    samples: list[Sample]
    skipped: list[str]


def index_of(tar: FileAt, keys: tuple[str, ...]) -> Index:
    """Read the headers of a tar, and of .json members the words under `keys`.

    Raises DataError, with the tar's and the member's name, for a file that is no tar or compressed,
    for one that ends too early or is broken inside, for two members of one name, and for samples
    whose members do not stand together.
    """
    with reading_file(tar), closing(_opened(tar)) as file:
        try:
            return _read(tar, file, keys)
        except tarfile.TarError as error:
            raise DataError(f"{tar.name}: {_reason(error)}") from None


def _opened(tar: FileAt) -> IO[bytes]:
    if isinstance(tar.place, Url):
        return io.BufferedReader(opened(tar.place), BUFFER)
    return tar.place.open("rb")


def _reason(error: Exception) -> str:
    told = str(error)
    if "unexpected end" in told or "truncated" in told:
        return "is truncated: it ends within a member; copy it again"
    return f"is no tar that can be read, or a compressed one ({told}); give plain .tar files"


def _read(tar: FileAt, file: IO[bytes], keys: tuple[str, ...]) -> Index:
    samples: dict[str, Sample] = {}
    skipped: list[str] = []
    last = ""
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in _members(archive, tar):
            name = f"{tar.name}: {member.name}"
            reason = _passed_over(member)
            if reason is not None:
                skipped.extend([f"{name}: {reason}"] if reason else [])
                continue
            key, extension = _parted(member.name, name)
            if key in samples and key != last:
                raise DataError(
                    f"{name}: the sample is there twice, or its members do not stand together; "
                    "pack the tar again"
                )
            last = key
            sample = samples.setdefault(key, Sample(key, tar))
            if extension in sample.members:
                raise DataError(f"{name}: is there twice; a sample has each member once")
            sample.members[extension] = (member.offset_data, member.size)
            if extension in WORDS:
                sample.words |= _words(archive, member, extension, keys, name)
        _check_end(tar, file, archive.offset)
    return Index(list(samples.values()), skipped)


def _members(archive: tarfile.TarFile, tar: FileAt) -> Iterator[tarfile.TarInfo]:
    """Yield the members and keep none of them; TarError where one does not end in the file."""
    while (member := archive.next()) is not None:
        if archive.offset > tar.bytes:
            raise tarfile.ReadError("unexpected end of data")
        archive.members = []  # type: ignore[attr-defined]  # it would keep all
        yield member


def _passed_over(member: tarfile.TarInfo) -> str | None:
    """Return why a member is of no sample; nothing is said of a folder."""
    if member.isdir():
        return ""
    if not member.isreg() or member.issparse():
        return "no regular file"
    return "a hidden file" if member.name.rpartition("/")[2].startswith(".") else None


def _check_end(tar: FileAt, file: IO[bytes], offset: int) -> None:
    """Raise DataError unless zeros end the tar: one that is cut off between members, or broken in
    a header, ends so for tarfile, too."""
    file.seek(offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise DataError(f"{tar.name}: is truncated: its end mark is missing; copy it again")
    if block.strip(b"\0"):
        raise DataError(
            f"{tar.name}: is broken at byte {offset}: no header is there; copy it again"
        )


def _parted(path: str, name: str) -> tuple[str, str]:
    """Return key and extension, in small letters, of a member."""
    folder, slash, last = path.rpartition("/")
    key, _, extension = last.partition(".")
    if not (key and extension):
        raise DataError(
            f"{name}: a member's name is SAMPLE.EXTENSION, as 000123.jpg; rename it or leave it out"
        )
    return f"{folder}{slash}{key}", extension.lower()


def _words(
    archive: tarfile.TarFile, member: tarfile.TarInfo, kind: str, keys: tuple[str, ...], name: str
) -> Mapping[str, str | None]:
    if member.size > MOST_BYTES:
        raise DataError(f"{name}: {member.size:,} bytes are too many to tell a target")
    held = archive.extractfile(member)
    assert held is not None, "regular files have a content"
    content = held.read()
    try:
        text = content.decode()
        if kind == "cls":
            return {"cls": text.strip()}
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{name}: an object {{…}} is expected, got {text[:40]}")
    return {f"json:{key}": word_of(found.get(key), f"{name}: '{key}'") for key in keys}
