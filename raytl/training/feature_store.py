"""Files of features, row after row: written by chunks in any order, read by row number.

Rows of one shape are one array (N, …). Rows of unequal sizes stand one after the other, (ΣS, …),
with offsets (N + 1,) beside them. Maps may stand with their channels last, as a GPU runs them.

Legend: N rows, B of them asked for, S positions of the longest of these; maps (B, C, H, W).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from raytl.rows import Padded, Rows, cut, trimmed
from raytl.training.entry_files import OFFSETS, VALUES

SIMILAR = 32  # rows of similar lengths that are run together
StoredType = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Encoded:
    """Rows as NumPy can hold them. `sizes`: of rows of unequal sizes, (N,), whose own positions
    `values` has one after the other."""

    values: np.ndarray
    sizes: np.ndarray | None = None
    channels_last: bool = False  # whether maps stand with their channels last

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.values.nbytes


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the rows of all parts, one after the other."""
    sizes = [part.sizes for part in parts if part.sizes is not None]
    values = np.concatenate([part.values for part in parts])
    return Encoded(values, np.concatenate(sizes) if sizes else None, parts[0].channels_last)


def encode(rows: Rows, dtype: StoredType, *, channels_last: bool = False) -> Encoded:
    """Return rows as NumPy can hold them: bfloat16 as its bits, int16; whole numbers as int32; maps
    with `channels_last` if so asked."""
    if isinstance(rows, Padded):
        own = rows.values[rows.mask]
        return Encoded(_encoded(own, dtype), rows.sizes[:, 0].cpu().numpy())
    last = channels_last and rows.dim() == 4
    turned = rows.permute(0, 2, 3, 1).contiguous() if last else rows
    return Encoded(_encoded(turned, dtype), channels_last=channels_last)


def _encoded(h: Tensor, dtype: StoredType) -> np.ndarray:
    if not h.is_floating_point():
        return h.int().cpu().numpy()
    if dtype == "bfloat16":
        return h.bfloat16().cpu().view(torch.int16).numpy()
    return h.float().cpu().numpy()


def decode(values: np.ndarray, channels_last: bool = False) -> Tensor:
    """Return the tensor, float32 or int32, that was stored."""
    rows = torch.from_numpy(values)
    if values.dtype == np.int16:
        rows = rows.view(torch.bfloat16).float()
    return rows.permute(0, 3, 1, 2) if channels_last and rows.dim() == 4 else rows


def decoded(encoded: Encoded) -> Rows:
    """Return the rows as they are read once they are stored."""
    if encoded.sizes is None:
        return decode(encoded.values, encoded.channels_last)
    ends_N = np.cumsum([0, *encoded.sizes])
    return Features(encoded.values, ends_N).rows(np.arange(len(encoded.sizes)))


def by_length(rows: Padded, run: Callable[[Rows], Encoded]) -> Encoded:
    """Return what `run` gives of the rows, run in parts of SIMILAR rows of similar lengths: were
    all padded to the longest, most positions of short rows would be computed for nothing."""
    order = torch.argsort(rows.sizes[:, 0], descending=True, stable=True)
    parts = [run(trimmed(cut(rows, some))) for some in order.split(SIMILAR)]
    back = torch.argsort(order).cpu().numpy()
    whole = joined(parts)
    if whole.sizes is None:
        return Encoded(whole.values[back], channels_last=whole.channels_last)
    ends_N = np.cumsum(whole.sizes)
    own = [whole.values[ends_N[row] - whole.sizes[row] : ends_N[row]] for row in back]
    return Encoded(np.concatenate(own), whole.sizes[back])


@dataclass(frozen=True)
class Features:
    """A file of features, mapped. `channels_last`: as they were encoded."""

    values: np.ndarray
    offsets: np.ndarray | None = None
    channels_last: bool = False

    @classmethod
    def open(cls, folder: Path, *, channels_last: bool = False) -> "Features":
        """Map the files of a folder."""
        offsets = folder / OFFSETS
        return cls(
            np.load(folder / VALUES, mmap_mode="r"),
            np.load(offsets) if offsets.exists() else None,
            channels_last,
        )

    @property
    def lengths(self) -> np.ndarray | None:
        """The true size of every row, (N,), where they differ."""
        return None if self.offsets is None else np.diff(self.offsets)

    def rows(self, numbers: np.ndarray) -> Rows:
        """Return the rows of these numbers, (B,), copied out of the file."""
        if self.offsets is None:
            return decode(self.values[numbers], self.channels_last)
        starts, sizes = self.offsets[numbers], self.offsets[numbers + 1] - self.offsets[numbers]
        mask_BS = np.arange(sizes.max(initial=0)) < sizes[:, None]
        places_BS = starts[:, None] + np.arange(mask_BS.shape[1])
        out = np.zeros((*mask_BS.shape, *self.values.shape[1:]), self.values.dtype)
        out[mask_BS] = self.values[places_BS[mask_BS]]
        return Padded(decode(out), torch.from_numpy(sizes[:, None]))


@dataclass(frozen=True)
class FeatureWriter:
    """Writes the files of a folder, chunk by chunk."""

    folder: Path

    def begin(self, first: Encoded, count: int) -> None:
        """Make room for `count` rows like `first`, which has one."""
        if first.sizes is None:
            shape = (count, *first.values.shape[1:])
            np.lib.format.open_memmap(self.folder / VALUES, "w+", first.values.dtype, shape)

    def fill(self, chunk: range, batches: Iterable[tuple[range, Encoded]]) -> None:
        """Write the rows of a chunk as they come, batch after batch."""
        ragged = []
        for batch, rows in batches:
            if rows.sizes is None:
                self.put(batch, rows)
            else:
                ragged.append(rows)
        if ragged:
            self.put(chunk, joined(ragged))

    def put(self, chunk: range, rows: Encoded) -> None:
        """Write the rows of a chunk, or where they are of one shape of a part of one."""
        if rows.sizes is not None:
            np.save(self._part(chunk, "sizes"), rows.sizes)
            np.save(self._part(chunk, "values"), rows.values)
            return
        values = np.load(self.folder / VALUES, mmap_mode="r+")
        values[chunk.start : chunk.stop] = rows.values
        values.flush()

    def finish(self, chunks: Sequence[range]) -> None:
        """Join the chunks of rows of unequal sizes."""
        if (self.folder / VALUES).exists():
            return
        sizes = np.concatenate([np.load(self._part(chunk, "sizes")) for chunk in chunks])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        np.save(self.folder / OFFSETS, offsets)
        first = np.load(self._part(chunks[0], "values"), mmap_mode="r")
        shape = (int(offsets[-1]), *first.shape[1:])
        whole = np.lib.format.open_memmap(self.folder / f".{VALUES}", "w+", first.dtype, shape)
        for chunk in chunks:
            whole[offsets[chunk.start] : offsets[chunk.stop]] = np.load(self._part(chunk, "values"))
        whole.flush()
        (self.folder / f".{VALUES}").replace(self.folder / VALUES)
        for chunk in chunks:
            for what in ("sizes", "values"):
                self._part(chunk, what).unlink()

    def _part(self, chunk: range, what: str) -> Path:
        return self.folder / f"{what}-{chunk.start}.npy"
