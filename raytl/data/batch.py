"""Batches: what a step reads.

Legend: B batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raytl.rows import Cut, Inputs, Rows, cut, move, pinned


@dataclass(frozen=True)
class Batch:
    """Rows of one domain. `inputs` are keyed by branch, a teacher's branches included. Where a
    trial has several workers they hold this worker's share of the rows; `id` and `target` are of
    all rows, but for `own_target`: targets that are large."""

    inputs: Inputs
    target: Rows | None  # (B,), int64 classes or float64 values, say; None: not to be seen
    id: Tensor  # (B,), int64
    own_target: bool = False

    @property
    def own_rows(self) -> int:
        """How many of the rows are this worker's."""
        return len(next(iter(self.inputs.values())))

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with what is computed with on a device; ids stay where they are."""
        inputs = {name: given.to(device) for name, given in self.inputs.items()}
        target = None if self.target is None else move(self.target, device)
        return replace(self, inputs=inputs, target=target)

    def pinned(self) -> "Batch":
        """Return the batch in pinned memory, from which it goes to a GPU while the host goes on.
        Needs CUDA."""
        inputs = {name: given.pinned() for name, given in self.inputs.items()}
        target = None if self.target is None else pinned(self.target)
        return replace(self, inputs=inputs, target=target, id=self.id.pin_memory())

    def cut(self, own: Cut, every: Cut) -> "Batch":
        """Return some of the rows: `own` among this worker's, `every` among all."""
        inputs = {name: given.cut(own) for name, given in self.inputs.items()}
        which = own if self.own_target else every
        target = None if self.target is None else cut(self.target, which)
        return Batch(inputs, target, self.id[every], self.own_target)


@dataclass(frozen=True)
class TrainBatch:
    """One step's rows: the labelled source domain, the unlabelled target, the labelled target."""

    source: Batch | None = None
    target: Batch | None = None
    labelled: Batch | None = None

    @property
    def streams(self) -> Mapping[str, Batch]:
        """The streams that are there, by name."""
        parts = {"source": self.source, "target": self.target, "labelled": self.labelled}
        return {name: part for name, part in parts.items() if part is not None}

    def to(self, device: torch.device) -> "TrainBatch":
        """Return the batch with what is computed with on a device."""
        return TrainBatch(**{name: part.to(device) for name, part in self.streams.items()})
