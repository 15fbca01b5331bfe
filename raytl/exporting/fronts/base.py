"""What stands before a network in an exported program: from tensors that any program can make to
what the first block takes.

Where a transform is arithmetic of tensors (pixels scaled, channels standardised) it is part of the
program; where it is not (strings, spectrograms, quantiles) the program's inputs are what it gives,
and `Slot.holds` says what that is.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raytl.rows import Rows

BATCH, LENGTH = "batch", "length"  # sides that may be of any size
Side = int | str


@dataclass(frozen=True)
class Slot:
    """One input of a program: a tensor of `shape`, whose sides are numbers, BATCH or LENGTH."""

    name: str
    dtype: str  # numpy's name
    shape: tuple[Side, ...]
    holds: str  # a sentence


class Front(nn.Module):
    """What stands before the network of one column."""

    slots: tuple[Slot, ...]
    longest: int | None = None  # steps or tokens of a row, at most

    @abstractmethod
    def forward(self, *tensors: Tensor) -> Rows:
        """Return what the first block takes, of the slots' tensors."""

    @abstractmethod
    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        """Return tensors for the slots, of some rows that are drawn, and the same rows as raytl's
        own transform prepares them: what the program is judged by."""

    def own_facts(self) -> dict[str, Any]:
        """Return what else a person needs to fill the slots, ready for JSON."""
        return {}

    def own_files(self) -> dict[str, str]:
        """Return files for that, their content by name."""
        return {}


def drawn_lengths(rows: int, most: int, random: np.random.Generator) -> Tensor:
    """Return how long rows are, int64 (B,), 1 to `most`; the first is the longest."""
    lengths = random.integers(1, most + 1, rows)
    lengths[0] = most
    return torch.from_numpy(lengths.astype(np.int64))
