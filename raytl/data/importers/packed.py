"""Files whose bytes stand in a column of Arrow: a shard's are taken out of it, and no others.

The column may be mapped from a disk, as those of Hugging Face's `datasets` are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raytl.data.importers.encoded import Encoded
from raytl.data.importers.inputs import Later


@dataclass(frozen=True)
class Packed(Later):
    """Cells of bytes, or of {bytes, path}: of all rows with `place`, which says where a row stands,
    or of some with their `names`."""

    cells: pa.ChunkedArray
    place: Callable[[int], str] | None = None
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def of(self, numbers: np.ndarray) -> "Packed":
        """Return the cells of some rows, which go to another process without the others."""
        place = self.names.__getitem__ if self.place is None else self.place
        return Packed(_taken(self.cells, numbers), names=[place(int(n)) for n in numbers])

    def missing(self) -> np.ndarray:
        """Return the rows that have neither bytes nor a path."""
        if not pa.types.is_struct(self.cells.type):
            return np.flatnonzero(self.cells.is_null().to_numpy())
        held = [pc.struct_field(self.cells, "bytes").is_null().to_numpy()]
        if self.cells.type.get_field_index("path") >= 0:
            held.append(pc.struct_field(self.cells, "path").is_null().to_numpy())
        return np.flatnonzero(np.all(held, 0))

    def load(self) -> list[Encoded]:
        """Return (name, bytes) each, or the path of a file."""
        return [_file(*pair) for pair in zip(self.names, self.cells.to_pylist(), strict=True)]


def _taken(cells: pa.ChunkedArray, numbers: np.ndarray) -> pa.ChunkedArray:
    """Return some cells in the order of `numbers`. They are taken from each chunk by itself: Arrow
    would put all chunks together, which may have more bytes than its offsets count."""
    ends = np.cumsum([len(chunk) for chunk in cells.chunks])
    chunk_of = np.searchsorted(ends, numbers, side="right")
    parts = [
        chunk.take(pa.array(numbers[chunk_of == k] - (ends[k] - len(chunk))))
        for k, chunk in enumerate(cells.chunks)
        if (chunk_of == k).any()
    ]
    by_chunk = np.argsort(chunk_of, kind="stable")
    return pa.chunked_array(parts, cells.type).take(pa.array(np.argsort(by_chunk)))


def _file(name: str, cell: Any) -> Encoded:
    held = cell if isinstance(cell, dict) else {"bytes": cell}
    content: bytes | None = held.get("bytes")
    return Path(held["path"]) if content is None else (name, content)
