"""Input columns as they are read: the rows of a shard at a time, bad rows told apart.

Legend: N rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.base import CHUNK, ShardOptions, fitted
from raytl.data.importers.decoding import SIDE, decoded
from raytl.data.importers.encoded import Encoded, stamp_of
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.modalities.text.column import TextColumn


class Later(ABC):
    """Items that are not in memory: a shard's are loaded by who reads it."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def of(self, numbers: np.ndarray) -> "Later":
        """Return some of them by number, in this order."""

    @abstractmethod
    def load(self) -> Any:
        """Return them as a list, an array or Arrow's strings."""


Items = Any  # what the value of each row is read from: Later, a list, an array or Arrow's strings
Digest = Any  # what hashlib returns


@dataclass(frozen=True)
class Bad:
    """Why a row cannot be read."""

    message: str


def _as_they_are(items: Items) -> Items:
    return items


@dataclass(frozen=True)
class Reading:
    """How a column's rows are read: `read` takes the items of a chunk and returns a sequence, for
    each a value or what is Bad about it, `joined` makes a column's values of such, `seal` adds what
    changes with the items to a digest, `shapes` says of values what `Chunk` has of images. All go
    to other processes."""

    joined: Callable[[list[Any]], Values]
    seal: Callable[[Items, Digest], None]
    read: Callable[[Items], Any] = _as_they_are
    shapes: Callable[[list[Any]], list[tuple[int, int]]] | None = None


@dataclass(frozen=True)
class Input:
    """A column and the `items` that its rows are read from."""

    column: Column
    items: Items
    reading: Reading
    notes: list[str] = field(default_factory=list)

    def of(self, numbers: np.ndarray) -> "Input":
        """Return the input of some rows, in this order: it holds their items alone."""
        return replace(self, items=picked(self.items, numbers), notes=[])


def _loaded(one: Input) -> Input:
    return replace(one, items=one.items.load()) if isinstance(one.items, Later) else one


def picked(items: Items, numbers: np.ndarray) -> Items:
    """Return items by number."""
    if isinstance(items, np.ndarray):
        return items[numbers]
    if isinstance(items, Later):
        return items.of(numbers)
    if isinstance(items, pa.Array | pa.ChunkedArray):
        return items.take(pa.array(numbers))
    return [items[number] for number in numbers]


@dataclass(frozen=True)
class InputPart:
    """The rows of some inputs, numbered from 0; one that is bad is left out with `skip_bad`."""

    inputs: Mapping[str, Input]
    count: int
    skip_bad: bool = False

    def read(self, left_out: list[str]) -> Iterator[Chunk]:
        """See `Part`."""
        every = [_loaded(one) for one in self.inputs.values()]
        for start in range(0, self.count, CHUNK):
            stop = min(start + CHUNK, self.count)
            found = [one.reading.read(one.items[start:stop]) for one in every]
            kept = self._kept(found, stop - start, left_out)
            if kept:
                values = {
                    name: [of_rows[i] for i in kept]
                    for name, of_rows in zip(self.inputs, found, strict=True)
                }
                yield self._chunk(values, start + np.array(kept))

    def _chunk(self, values: Mapping[str, list[Any]], places_N: np.ndarray) -> Chunk:
        readings = {name: one.reading for name, one in self.inputs.items()}
        joined = {name: reading.joined(values[name]) for name, reading in readings.items()}
        shapes = {
            name: reading.shapes(values[name])
            for name, reading in readings.items()
            if reading.shapes is not None
        }
        return Chunk(joined, places_N, shapes)

    def _kept(self, found: Sequence[Sequence[Any]], count: int, left_out: list[str]) -> list[int]:
        bad = {i: row for column in found for i, row in enumerate(column) if isinstance(row, Bad)}
        for row in bad.values():
            if not self.skip_bad:
                raise DataError(f"{row.message}; mend or remove it, or give --skip-bad")
            left_out.append(row.message)
        return [i for i in range(count) if i not in bad]

    def digest(self) -> str:
        """See `Part`."""
        digest = sha256()
        for name, one in self.inputs.items():
            digest.update(f"{name} {len(one.items)} ".encode())
            one.reading.seal(one.items, digest)
        return digest.hexdigest()


def _seal_array(items: np.ndarray, digest: Digest) -> None:
    digest.update(f"{items.dtype}{items.shape}".encode())
    digest.update(np.ascontiguousarray(items).data)


def _seal_ragged(items: Sequence[np.ndarray | None], digest: Digest) -> None:
    for item in items:
        if item is None:  # a row that is not labelled
            digest.update(b"none")
        else:
            _seal_array(item, digest)


def _seal_texts(items: pa.Array | pa.ChunkedArray, digest: Digest) -> None:
    for text in items.to_pylist():
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little") + content)


def seal_files(items: Sequence[Encoded] | Later, digest: Digest) -> None:
    """Add files to a digest: their names, and what changes where their content does."""
    for item in items.load() if isinstance(items, Later) else items:
        digest.update(f"{stamp_of(item)}\0".encode(errors="surrogateescape"))


def array_input(column: Column, values: np.ndarray) -> Input:
    """Return values in memory, rows first and of one shape."""
    return Input(column, values, Reading(np.stack, _seal_array))


def fitted_input(column: Column, images_NHWC: np.ndarray, options: ShardOptions) -> Input:
    """Return images in memory that are yet to be fitted."""
    fit = ShardOptions(size=options.size, fit=options.fit, box=options.box)
    return Input(column, images_NHWC, Reading(np.stack, _seal_array, partial(fitted, options=fit)))


def ragged_input(column: Column, values: Sequence[np.ndarray | None]) -> Input:
    """Return rows in memory, each an array of its own length, or None where it has no target."""
    return Input(column, values, Reading(as_rows, _seal_ragged))


def text_input(texts: pa.ChunkedArray | pa.Array) -> Input:
    """Return texts, as Arrow's strings, none of them null."""
    column = TextColumn(mean_bytes=max(1, texts.nbytes // max(1, len(texts)) - 4))
    return Input(column, texts, text_reading(_seal_texts))


def text_reading(seal: Callable[[Items, Digest], None]) -> Reading:
    """Return how Arrow's strings are read."""
    return Reading(texts_of, seal, _listed)


def _listed(texts: pa.ChunkedArray | pa.Array) -> list[str]:
    listed: list[str] = texts.to_pylist()
    return listed


def texts_of(values: list[str]) -> np.ndarray:
    """Return texts as an array of objects (N,)."""
    return np.array([*values, None], dtype=object)[:-1]


def image_input(images: Sequence[Encoded] | Later, options: ShardOptions) -> Input:
    """Return image files, or their bytes, decoded to RGB at `--size` (224)."""
    size = options.size or SIDE
    column = ImageColumn(shape=(size, size, 3), dtype="uint8")
    return Input(column, images, image_reading(options, seal_files))


def image_reading(options: ShardOptions, seal: Callable[[Items, Digest], None]) -> Reading:
    """Return how encoded images are read."""
    fit = ShardOptions(size=options.size or SIDE, fit=options.fit, box=options.box)
    return Reading(np.stack, seal, partial(_images, options=fit))


def shaped_input(images: Sequence[Encoded], shape: tuple[int, int], options: ShardOptions) -> Input:
    """Return image files decoded to RGB at `--size`, or as they are: all of the `shape` (H, W)."""
    fit = ShardOptions(size=options.size, fit=options.fit, box=options.box)
    column = ImageColumn(shape=(*shape, 3), dtype="uint8")
    return Input(column, images, Reading(np.stack, seal_files, partial(_images, options=fit)))


def _images(images: Sequence[Encoded], options: ShardOptions) -> list[Any]:
    found = decoded(images, options.size, options)
    return [Bad(image) if isinstance(image, str) else image for image in found]
