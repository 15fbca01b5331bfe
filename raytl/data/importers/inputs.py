"""Input columns as they are read: a chunk of rows at a time, bad rows told apart.

Legend: N rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.arranging import Rows
from raytl.data.importers.base import ShardOptions, chunked
from raytl.data.importers.decoding import SIDE, Encoded, decoded
from raytl.data.writer import Chunk
from raytl.errors import DataError
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.modalities.text.column import TextColumn


@dataclass(frozen=True)
class Bad:
    """Why a row cannot be read."""

    message: str


@dataclass(frozen=True)
class Input:
    """`read` takes row numbers and yields lists, those of a chunk at a time: a value for each row,
    or what is Bad about it. `joined` makes a column's values of such."""

    column: Column
    read: Callable[[np.ndarray], Iterator[Sequence[Any]]]
    joined: Callable[[list[Any]], Values]
    notes: list[str] = field(default_factory=list)


def rows_of(
    inputs: Mapping[str, Input],
    numbers: np.ndarray,
    targets: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    options: ShardOptions,
    skipped: list[str],
) -> Rows:
    """Return a split that has the rows `numbers` of inputs, targets and groups.

    A bad row is a DataError when it is read, or with `--skip-bad` left out, and its message
    appended to `skipped`.
    """

    def chunks(rows: np.ndarray) -> Iterator[Chunk]:
        read = [one.read(numbers[rows]) for one in inputs.values()]
        for part, *found in zip(chunked(rows), *read, strict=True):
            kept = _kept(found, options, skipped)
            if kept:
                values = {
                    name: one.joined([of_rows[i] for i in kept])
                    for (name, one), of_rows in zip(inputs.items(), found, strict=True)
                }
                yield Chunk(values, part[kept])

    own = {name: of_rows[numbers] for name, of_rows in targets.items()}
    return Rows(len(numbers), chunks, own, None if groups is None else groups[numbers])


def _kept(found: Sequence[Sequence[Any]], options: ShardOptions, skipped: list[str]) -> list[int]:
    bad = {i: row for column in found for i, row in enumerate(column) if isinstance(row, Bad)}
    for row in bad.values():
        if not options.skip_bad:
            raise DataError(f"{row.message}; mend or remove it, or give --skip-bad")
        skipped.append(row.message)
    return [i for i in range(len(found[0])) if i not in bad]


def array_input(column: Column, values: np.ndarray) -> Input:
    """Return values in memory, rows first and of one shape."""
    return Input(column, lambda rows: (values[part] for part in chunked(rows)), np.stack)


def ragged_input(column: Column, values: Sequence[np.ndarray]) -> Input:
    """Return rows in memory, each an array of its own length."""

    def read(rows: np.ndarray) -> Iterator[list[np.ndarray]]:
        for part in chunked(rows):
            yield [values[row] for row in part]

    return Input(column, read, as_rows)


def text_input(texts: pa.ChunkedArray | pa.Array) -> Input:
    """Return texts, as Arrow's strings, none of them null."""
    column = TextColumn(mean_bytes=max(1, texts.nbytes // max(1, len(texts)) - 4))

    def read(rows: np.ndarray) -> Iterator[list[str]]:
        for part in chunked(rows):
            yield texts.take(pa.array(part)).to_pylist()

    return Input(column, read, lambda values: np.array([*values, None], dtype=object)[:-1])


def image_input(images: Sequence[Encoded], options: ShardOptions) -> Input:
    """Return image files, or their bytes, decoded to RGB at `--size` (224)."""
    size = options.size or SIDE

    def read(rows: np.ndarray) -> Iterator[list[Any]]:
        for found in decoded([images[row] for row in rows], options):
            yield [Bad(image) if isinstance(image, str) else image for image in found]

    return Input(ImageColumn(shape=(size, size, 3), dtype="uint8"), read, np.stack)
