"""Files of word vectors: .npz (keys `words`, `vectors`), GloVe's .txt, word2vec's .txt (the same
with a header of two numbers), each .txt also as .gz.

Legend: N words, D numbers of a vector.
"""

import contextlib
import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO
from zipfile import BadZipFile

import numpy as np

from raytl.errors import CorruptError, MissingModelError, ModelError

BROKEN = (OSError, EOFError, ValueError, BadZipFile, zlib.error)
NUMBER = re.compile(r"-?\d+\.\d+([eE]-?\d+)?|-?\d+")
REMEDY = "give .npz with keys words and vectors, or .txt or .txt.gz as GloVe and word2vec have it"


@dataclass(frozen=True)
class WordVectors:
    """`words` (N,) in the file's order and `vectors_ND`, float32."""

    words: list[str]
    vectors_ND: np.ndarray


def check_vectors(path: Path) -> None:
    """Raise ModelError where there is no file of word vectors. Reads nothing of it."""
    if not path.is_file():
        raise MissingModelError(f"{path}: no such file of word vectors")
    if path.name.removesuffix(".gz").rpartition(".")[2] not in ("npz", "txt", "vec"):
        raise ModelError(f"{path}: word vectors are not read from such a file; {REMEDY}")


def vector_dim(path: Path) -> int:
    """Return how many numbers a vector has. Raises as `read_vectors` does."""
    check_vectors(path)
    with _readable(path):
        if path.suffix == ".npz":
            return int(_open_npz(path)[1].shape[1])
        with _text(path) as file:
            return _start(path, file).dim


def read_vectors(path: Path, only: Collection[str] | None = None) -> WordVectors:
    """Return word vectors, those of the words in `only` or all; of a word that comes twice, the
    first. Raises ModelError where the file is another one, CorruptError where it is broken."""
    check_vectors(path)
    with _readable(path):
        if path.suffix == ".npz":
            found = _read_npz(path, only)
        else:
            with _text(path) as file:
                found = _read_lines(path, file, only)
    bad = np.flatnonzero(~np.isfinite(found.vectors_ND).all(1))
    if len(bad):
        raise CorruptError(f"{path}: the vector of '{found.words[bad[0]]}' is not finite")
    return found


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise CorruptError(f"{path}: is no whole file of word vectors ({reason})") from None


def _open_npz(path: Path) -> tuple[list[str], np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        if not {"words", "vectors"} <= set(file.files):
            raise ModelError(f"{path}: has keys {', '.join(file.files)}; {REMEDY}")
        words, vectors = file["words"], file["vectors"]
    if vectors.ndim != 2 or vectors.shape[1] < 1 or words.shape != (len(vectors),):
        raise ModelError(
            f"{path}: there must be a vector a word, got {words.size} words of shape {words.shape} "
            f"and vectors of shape {vectors.shape}"
        )
    return words.tolist(), vectors


def _read_npz(path: Path, only: Collection[str] | None) -> WordVectors:
    words, vectors = _open_npz(path)
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        if only is None or word in only:
            rows.setdefault(str(word), row)
    return WordVectors(list(rows), vectors[list(rows.values())].astype(np.float32))


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


class _Start(NamedTuple):
    """How many numbers a vector has, how many words a header promises, and the numbered lines that
    have one each."""

    dim: int
    promised: int
    lines: Iterator[tuple[int, str]]


def _start(path: Path, file: TextIO) -> _Start:
    first = next(file, "")
    header = re.fullmatch(r"(\d+) (\d+)\s*", first)
    dim = int(header[2]) if header else len(first.split()) - 1
    if dim < 1:
        raise ModelError(f"{path}: its first line is no word with its vector; {REMEDY}")
    if header:
        return _Start(dim, int(header[1]), enumerate(file, 2))
    return _Start(dim, 0, enumerate(chain([first], file), 1))


def _read_lines(path: Path, file: TextIO, only: Collection[str] | None) -> WordVectors:
    dim, promised, lines = _start(path, file)
    rows: dict[str, np.ndarray] = {}
    seen = 0
    for number, line in lines:
        # From the right: some of GloVe's words have spaces in them.
        word, *numbers = line.rstrip().rsplit(" ", dim)
        if len(numbers) != dim or _ends_in_a_number(word):
            raise CorruptError(f"{path}:{number}: expected a word and {dim} numbers; save it again")
        if word not in rows and (only is None or word in only):
            rows[word] = np.array(numbers, dtype=np.float32)
        seen += 1
    if seen < promised:
        raise CorruptError(
            f"{path}: its first line promises {promised} words, but {seen} follow; copy it again"
        )
    empty = np.empty((0, dim), np.float32)
    return WordVectors(list(rows), np.stack(list(rows.values())) if rows else empty)


def _ends_in_a_number(word: str) -> bool:
    """Whether what stands before a vector is a word and another number of it."""
    _, space, last = word.rpartition(" ")
    return bool(space) and NUMBER.fullmatch(last) is not None
