"""Files opened, gzipped or not, and what goes wrong with them."""

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from raytl.errors import DataError
from raytl.folders import printable

BLOCK, MOST_BLOCK = 2**20, 2**31 - 1  # bytes; the most that Arrow takes
UTF_8_OF_ONE = 3  # bytes that a file's byte becomes in UTF-8, at most
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a DataError that names it."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)}: no whole gzip file: {error}") from None
    except UnicodeError:
        raise not_in(path, "utf-8") from None
    except OSError as error:
        raise DataError(
            f"{printable(path)}: cannot be read: {error.strerror or first_of(error)}"
        ) from None
    except (pa.ArrowException, csv.Error) as error:
        raise DataError(f"{printable(path)}: {first_of(error)}") from None


def first_of(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def opened(path: Path) -> IO[bytes]:
    """Open a file, gzipped or not."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def by_blocks(file: IO[bytes], read: Callable[[IO[bytes], int], pa.Table]) -> pa.Table:
    """Return what `read` makes of a file that Arrow parses in blocks of so many bytes: Arrow's own
    size, or the whole file where a row has more than that."""
    try:
        return read(file, BLOCK)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return read(file, min(UTF_8_OF_ONE * size, MOST_BLOCK))


def not_in(path: Path, encoding: str) -> DataError:
    """Return what is wrong with a text of another encoding, its first such line by number."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                marked = number == 1 and line.startswith(UTF_16_MARKS)
                return not_decoded(printable(path), number, error.start, encoding, utf_16=marked)
    return DataError(f"{printable(path)}: is no {encoding}; name the file's --encoding")


def not_decoded(
    name: str, line: int, byte: int, encoding: str, *, utf_16: bool = False
) -> DataError:
    """Return the error for a line that is no text in an encoding. `utf_16`: it looks as that."""
    usual = "utf-16" if utf_16 else "latin-1"
    other = usual if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else "utf-8"
    return DataError(
        f"{name}, line {line}: byte {byte} is no {encoding}; save it as UTF-8, or name the file's "
        f"encoding, e.g. --encoding {other}"
    )
