"""Files of series as sktime and the UEA archive write them (.ts).

Legend: T steps of one row, C channels.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raytl.errors import DataError

TRUE, FALSE = "true", "false"


class TsData(NamedTuple):
    """What a .ts file holds: float32 arrays (T, C), missing values as NaN; a label a row, as text,
    or none at all; and channels dim_0, dim_1, …, which the format gives no names."""

    series: list[np.ndarray]
    labels: list[str]
    channels: tuple[str, ...]


@dataclass
class _Header:
    labelled: bool = False
    labels: tuple[str, ...] = ()  # those that are declared; none: any, as numbers to predict
    dimensions: int | None = None
    length: int | None = None  # in steps, where all rows are said to be equally long
    keys: dict[str, str] = field(default_factory=dict)


def read_ts(path: Path | str, bad: dict[int, str] | None = None) -> TsData:
    """Read a .ts file: a row a line, dimensions parted by `:`, the steps of each by commas, the
    label last. With `bad` rows that cannot be read are told there, by their number among all rows,
    and left out.

    Raises DataError with the line's number for what is no such file, and for time stamps and for
    dimensions of unequal length in one row, which raytl does not read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise DataError(f"{path}: cannot be read: {reason}") from None
    numbered = _content(lines)
    header = _header(path, numbered)
    series, labels = [], []
    for row, (number, line) in enumerate(numbered):
        try:
            with _at(path, number):
                values, label = _row(line, header)
        except DataError as error:
            if bad is None:
                raise
            bad[row] = str(error)
            continue
        series.append(values)
        labels += [] if label is None else [label]
    if not series:
        raise DataError(f"{path}: no series after @data")
    return TsData(series, labels, tuple(f"dim_{c}" for c in range(series[0].shape[1])))


@contextlib.contextmanager
def _at(path: Path | str, number: int) -> Iterator[None]:
    """Say of what is wrong in which line it is."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from None


def _content(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Pass on lines that are neither empty nor a comment, with their numbers from 1."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _header(path: Path | str, lines: Iterator[tuple[int, str]]) -> _Header:
    header = _Header()
    for number, line in lines:
        if line.lower() == "@data":
            return _concluded(header)
        with _at(path, number):
            if not line.startswith("@"):
                raise ValueError(
                    f"expected @name value or @data before the series, got '{line[:40]}'"
                )
            key, _, value = line[1:].partition(" ")
            _take(header, key.lower(), value.strip())
    raise DataError(f"{path}: there is no @data, so no series; give a whole .ts file")


def _take(header: _Header, key: str, value: str) -> None:
    header.keys[key] = value
    if key == "timestamps" and _truth(key, value):
        raise ValueError(
            "series with time stamps are not read; write them at equal steps, without stamps"
        )
    if key == "univariate" and _truth(key, value):
        header.dimensions = 1
    if key in ("dimension", "dimensions"):
        header.dimensions = _number(key, value)
    if key == "serieslength":
        header.length = _number(key, value)
    if key in ("classlabel", "targetlabel"):
        words = value.split()
        header.labelled = _truth(key, words[0] if words else "")
        header.labels = tuple(words[1:]) if key == "classlabel" else ()


def _concluded(header: _Header) -> _Header:
    if header.keys.get("equallength", FALSE).lower() != TRUE:
        header.length = None  # then it is the longest row's, or means nothing
    return header


def _truth(key: str, value: str) -> bool:
    if value.lower() not in (TRUE, FALSE):
        raise ValueError(f"@{key} is true or false, got '{value[:40]}'")
    return value.lower() == TRUE


def _number(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise ValueError(f"@{key} is a whole number from 1, got '{value[:40]}'")
    return int(value)


def _row(line: str, header: _Header) -> tuple[np.ndarray, str | None]:
    """Return one line's series (T, C) and its label."""
    parts = [part.strip() for part in line.split(":")]
    label = parts.pop() if header.labelled else None
    if label is not None and header.labels and label not in header.labels:
        raise ValueError(
            f"the label '{label[:40]}' is none of @classLabel's, {', '.join(header.labels[:8])}"
        )
    if header.dimensions is None:
        header.dimensions = len(parts)  # not declared: as the first row has them
    if len(parts) != header.dimensions:
        raise ValueError(f"{header.dimensions} dimensions were expected, got {len(parts)}")
    dimensions = [_steps(part, number) for number, part in enumerate(parts)]
    lengths = sorted({len(steps) for steps in dimensions})
    if len(lengths) > 1:
        raise ValueError(
            f"all dimensions of a row must be as long, got {lengths[0]} and {lengths[-1]} steps"
        )
    if header.length is not None and lengths[0] != header.length:
        raise ValueError(
            f"@equalLength and @seriesLength say {header.length} steps, got {lengths[0]}"
        )
    return np.stack(dimensions, axis=1), label


def _steps(text: str, dimension: int) -> np.ndarray:
    steps = ["nan" if step.strip() == "?" else step for step in text.split(",")]
    try:
        return np.array(steps, dtype=np.float64).astype(np.float32)
    except ValueError:
        bad = next(step for step in steps if not _is_number(step))
        raise ValueError(
            f"dimension {dimension} holds '{bad.strip()[:40]}', which is no number; a missing "
            "value is written ?"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
