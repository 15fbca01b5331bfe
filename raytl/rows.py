"""Rows of tensors: cut, joined, moved; padded where they differ in length.

Legend: B rows, S positions of the longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Padded:
    """Rows of unequal sizes, zeros behind their ends: `values` (B, S, …) and `sizes` (B, k), int64,
    the true sizes of each row's first k dimensions."""

    values: Tensor
    sizes: Tensor

    @property
    def mask(self) -> Tensor:
        """Which positions are the row's own, bool (B, S)."""
        positions = torch.arange(self.values.shape[1], device=self.values.device)
        return positions < self.sizes[:, :1].to(self.values.device)

    def with_values(self, values: Tensor) -> "Padded":
        """Return other values of the same sizes."""
        return Padded(values, self.sizes)


Rows = Tensor | Padded
Tree = Rows | tuple["Tree", ...]  # several tensors of the same rows
Cut = slice | Tensor


def padded(parts: Sequence[Tensor]) -> Padded:
    """Return rows (S_i, …) as one, padded to the longest; a row of length 0 is allowed."""
    values = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
    return Padded(values, torch.tensor([[len(part)] for part in parts], dtype=torch.int64))


def count(rows: Rows) -> int:
    """Return how many rows there are."""
    return len(rows.values) if isinstance(rows, Padded) else len(rows)


def cut(rows: Any, which: Cut) -> Any:
    """Return some of the rows of a Tree, by a slice or their numbers."""
    if isinstance(rows, tuple):
        return tuple(cut(part, which) for part in rows)
    if isinstance(rows, Padded):
        return Padded(rows.values[which], rows.sizes[which])
    return rows[which]


def join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, one after the other, padded to the longest of all."""
    if len(parts) == 1:
        return parts[0]
    plain = [part for part in parts if isinstance(part, Tensor)]
    if len(plain) == len(parts):
        assert len({part.dtype for part in plain}) == 1, "rows that are joined are of one type"
        return torch.cat(plain)
    ragged = [part for part in parts if isinstance(part, Padded)]
    assert len(ragged) == len(parts), "rows of one branch are all padded or none is"
    longest = max(part.values.shape[1] for part in ragged)
    values = [_lengthened(part.values, longest) for part in ragged]
    return Padded(torch.cat(values), torch.cat([part.sizes for part in ragged]))


def _lengthened(values: Tensor, length: int) -> Tensor:
    missing = length - values.shape[1]
    return F.pad(values, [0, 0] * (values.dim() - 2) + [0, missing]) if missing else values


def trimmed(rows: Rows) -> Rows:
    """Return padded rows padded to the longest of them, and no further."""
    if not isinstance(rows, Padded):
        return rows
    return Padded(rows.values[:, : int(rows.sizes[:, 0].max())], rows.sizes)


def move(rows: Rows, device: torch.device) -> Rows:
    """Return the rows on a device. The host does not wait for a copy to a GPU to end, and from
    pinned memory not even for its begin."""
    if isinstance(rows, Padded):
        return Padded(moved(rows.values, device), moved(rows.sizes, device))
    return moved(rows, device)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, as `move` does rows."""
    # Back to the host there is always a wait: what is read too early is anything.
    return values.to(device, non_blocking=device.type != "cpu")


def pinned(rows: Rows) -> Rows:
    """Return the rows in pinned memory, from which a GPU copies by itself. Needs CUDA."""
    if isinstance(rows, Padded):
        return Padded(rows.values.pin_memory(), rows.sizes.pin_memory())
    return rows.pin_memory()


def split(rows: Any, sizes: Sequence[int]) -> list[Any]:
    """Return consecutive parts of these many rows each."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [cut(rows, slice(start, start + n)) for start, n in zip(starts, sizes, strict=True)]


def chosen(rows: Any, mask_B: Tensor) -> Any:
    """Return the rows where `mask_B`, bool (B,), is true."""
    return rows if bool(mask_B.all()) else cut(rows, mask_B.nonzero()[:, 0])


def mean_of(rows: Padded) -> Tensor:
    """Return the mean over each row's own positions, (B, …); zeros for a row of length 0."""
    mask = rows.mask.view(*rows.mask.shape, *[1] * (rows.values.dim() - 2)).to(rows.values.dtype)
    return (rows.values * mask).sum(1) / mask.sum(1).clamp(min=1)


@dataclass(frozen=True)
class Given:
    """What one branch of a network is given: rows as they are prepared, or what came of them after
    the first `done` steps of the branch (its blocks in order, then its pooling), which were run
    before. `transformed`: whether the branch's transform was run, as it is wherever steps are
    done."""

    rows: Rows
    done: int = 0
    transformed: bool = False

    def __len__(self) -> int:
        return count(self.rows)

    def cut(self, which: Cut) -> "Given":
        """Return some of the rows."""
        return replace(self, rows=cut(self.rows, which))

    def to(self, device: torch.device) -> "Given":
        """Return the same on a device."""
        return replace(self, rows=move(self.rows, device))

    def pinned(self) -> "Given":
        """Return the same in pinned memory."""
        return replace(self, rows=pinned(self.rows))


Inputs = dict[str, Given]  # by branch


def join_given(parts: Sequence[Given]) -> Given:
    """Return the rows of all parts, which have the same steps done."""
    assert len({(part.done, part.transformed) for part in parts}) == 1
    return replace(parts[0], rows=join([part.rows for part in parts]))
