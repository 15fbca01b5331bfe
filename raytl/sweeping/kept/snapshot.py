"""What raytl wrote into a run's folder besides its trials, as it was at one moment, kept elsewhere.

Each snapshot has a number, its generation. What has not changed since an earlier one is not written
again, and folders of many small files are kept as one archive. `snapshot.json` comes last and says
of which generation each file is: so whoever reads knows how old they are, and what goes together.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from raytl.files import write_atomically
from raytl.folders import new_folder

# What stands in a run's folder besides its trials' folders.
OWN_FILES = (
    "study.yaml", "environment.json", "ranking.json", "leaderboard.json", "leaderboard.csv",
    "confirmation.json", "transfer.json", "rows.json", "report.html",
)  # fmt: skip
OWN_FOLDERS = ("best", "predictions", "tensorboard")
PACKED = ("predictions", "tensorboard")  # of them, those with a file for each trial
DECIDING = ("study.yaml", "environment.json")  # what a run goes on by
ARCHIVE = ".tar"
MANIFEST = "snapshot.json"
PART = 2**20  # bytes that are read at once
Upload = Callable[[IO[bytes], str], None]  # a file, from its start, and its name where it is kept


@dataclass(frozen=True)
class Entry:
    """A kept file. `generation`: of the snapshot that has written it."""

    sha256: str
    generation: int


@dataclass(frozen=True)
class Manifest:
    """The content of snapshot.json. `taken`: when, in UTC."""

    generation: int = 0
    taken: str = ""
    files: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path) -> "Manifest":
        """Return that of the last snapshot of a run's folder; generation 0 where none is known."""
        try:
            content = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
            files = {name: Entry(**entry) for name, entry in content["files"].items()}
            return cls(int(content["generation"]), str(content["taken"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()  # all is written once more


def take(run: Path, upload: Upload, *, whole: bool) -> None:
    """Keep a new snapshot of the folder `run`, if anything has changed since the last one. Without
    `whole`, its folders are left as they were kept."""
    last = Manifest.of(run)
    generation, files = last.generation + 1, dict(last.files)
    for name, file in _contents(run, whole):
        sha256 = _sha256(file)
        if name not in files or files[name].sha256 != sha256:
            file.seek(0)
            upload(file, name)
            files[name] = Entry(sha256, generation)
    if files == last.files:
        return
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps(asdict(Manifest(generation, taken, files)), indent=1)
    upload(io.BytesIO(text.encode()), MANIFEST)
    write_atomically(run / MANIFEST, text)


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(PART):
        digest.update(part)
    return digest.hexdigest()


def _contents(run: Path, whole: bool) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name under which each file is kept, and the file, opened. It stays as it is then:
    files here are replaced, not written over."""
    names = [name for name in OWN_FILES if (run / name).exists()]
    folders = OWN_FOLDERS if whole else ()
    for folder in folders:
        if folder not in PACKED:
            names += [file.relative_to(run).as_posix() for file in _files_in(run / folder)]
    for name in names:
        with (run / name).open("rb") as file:
            yield name, file
    for folder in folders:
        if folder in PACKED and (run / folder).exists():
            with tempfile.TemporaryFile() as packed:
                _pack(run / folder, packed)
                yield f"{folder}{ARCHIVE}", packed


def _files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _pack(folder: Path, into: IO[bytes]) -> None:
    with tarfile.open(fileobj=into, mode="w") as archive:
        for file in _files_in(folder):
            archive.add(file, file.relative_to(folder).as_posix())


def is_part(name: str) -> bool:
    """Whether a kept file, by its path in the run, is part of snapshots."""
    top = name.split("/")[0]
    return top in (MANIFEST, *OWN_FILES, *OWN_FOLDERS) or top.removesuffix(ARCHIVE) in PACKED


def lacks(run: Path, name: str) -> bool:
    """Whether the folder `run` has yet to have a kept part. What it has is not replaced, but for
    what the run goes on by and the manifest: those are as the last driver kept them."""
    return name in (MANIFEST, *DECIDING) or not (run / name.removesuffix(ARCHIVE)).exists()


def unpack(run: Path) -> None:
    """Put the archives that were fetched into `run` in the place of the folders that they hold."""
    for folder in PACKED:
        fetched = run / f"{folder}{ARCHIVE}"
        if fetched.exists():
            with new_folder(run / folder, force=True) as new, tarfile.open(fetched) as archive:
                archive.extractall(new, filter="data")
            fetched.unlink()
