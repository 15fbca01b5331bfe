"""The front of networks that read series.

Legend: B batch, S steps of the longest row, C channels.
"""

import numpy as np
import torch
from torch import Tensor

from raytl.exporting.fronts.base import BATCH, LENGTH, Front, Slot, drawn_lengths
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.transform import SeriesTransform, series_transform
from raytl.rows import Padded, Rows


class SeriesFront(Front):
    """Series as they were measured, standardised in the program."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, transform: SeriesTransform) -> None:
        super().__init__()
        facts = transform.facts()
        self.transform, self.longest = transform, transform.max_length
        self.per_row = bool(facts["per_row"])
        at_most = "" if self.longest is None else f", {self.longest} steps a row at most"
        listed = ", ".join(transform.channels)
        self.slots = (
            Slot(name, "float32", (BATCH, LENGTH, len(transform.channels)),
                 f"series as they were measured, channels {listed}{at_most}; anything finite "
                 "behind a row's end"),
            Slot(f"{name}_length", "int64", (BATCH,), "how many steps each row has, 1 at least"),
        )  # fmt: skip
        self.register_buffer("mean", torch.tensor(facts["mean"], dtype=torch.float64))
        self.register_buffer("std", torch.tensor(facts["std"], dtype=torch.float64))

    def forward(self, *tensors: Tensor) -> Padded:
        rows = Padded(tensors[0].double(), tensors[1].unsqueeze(1))
        own_BS1 = rows.mask.unsqueeze(2)
        mean, std = (self.mean, self.std)
        if self.per_row:
            mean, std = _mean_and_std(rows.values, own_BS1)
        x_BSC = ((rows.values - mean) / std).float()
        return rows.with_values(x_BSC.masked_fill(~own_BS1, 0.0))

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        lengths_B = drawn_lengths(rows, min(self.longest or 24, 24), random)
        shape = (rows, int(lengths_B.max()), len(self.transform.channels))
        of_data = random.normal(size=shape)
        if not self.per_row:
            of_data = of_data * self.std.numpy() + self.mean.numpy()
        series = torch.from_numpy(of_data.astype(np.float32))
        own = zip(series.numpy(), lengths_B.tolist(), strict=True)
        plain = series_transform(self.transform.facts())
        return (series, lengths_B), plain.prepare(as_rows([one[:n] for one, n in own]))


def _mean_and_std(x_BSC: Tensor, own_BS1: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's own, (B, 1, C), as `modalities.series.transform` has them."""
    count_B11 = own_BS1.sum(1, keepdim=True)
    mean = (x_BSC * own_BS1).sum(1, keepdim=True) / count_B11
    square = ((x_BSC - mean).square() * own_BS1).sum(1, keepdim=True) / count_B11
    std = square.sqrt()
    constant = std <= 1e-6 * mean.abs().clamp(min=1e-6)
    return mean, torch.where(constant, torch.ones_like(std), std)
