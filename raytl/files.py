"""Files: written whole or not at all, and told apart, as contents are, by their SHA-256."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raytl.errors import RaytlError, UserError


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to a temporary neighbour and rename it. A link stays, and what it names is
    written; so is what is no file (/dev/null, a pipe), which nothing may replace. Raises RaytlError
    on a full disk."""
    place = Path(os.path.realpath(path))
    temporary = _temporary(place)
    try:
        if _is_device(path):
            path.write_text(text, encoding="utf-8")
            return
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, place)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RaytlError(f"{path}: cannot write: {error.strerror}") from None


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits. Raises OSError where it cannot be
    read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Any) -> str:
    """Return the SHA-256 of what JSON can hold, whatever the order of its keys, in hexadecimal
    digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_writable(path: Path, reads: Iterable[Path] = ()) -> None:
    """Raise UserError where no file can be written at `path`, before what it will hold is made; or
    where a file is there already that the command `reads`, or that is in a folder of those."""
    place = Path(os.path.realpath(path))
    folder = place.parent
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder; give the name of a file in it")
        if _is_device(path):
            return
        _temporary(place).exists()
    except OSError as error:  # a name that is too long, say
        raise UserError(f"{path}: cannot be written: {error.strerror}; give another one") from None
    if not folder.is_dir():
        raise UserError(f"{path}: the folder {folder} is not there; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: the folder {folder} may not be written to; give another one")
    inputs = [read for read in reads if path.exists() and place.is_relative_to(read.resolve())]
    if inputs:
        how = "is in" if inputs[0].is_dir() else "is"
        raise UserError(
            f"{path}: {how} what is read here ({inputs[0]}); give another file to write"
        )
