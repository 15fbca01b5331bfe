"""Fronts of networks that read tables.

Legend: B batch, N numbers, C categories, F fields.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.exporting.fronts.base import BATCH, Front, Slot
from raytl.modalities.table.coding import FIRST_KNOWN
from raytl.modalities.table.scaling import STANDARD_LIMIT
from raytl.modalities.table.transform import TableFacts, TableTransform
from raytl.rows import Rows


class TableFront(Front):
    """Numbers as they are, standardised in the program, and codes of categories."""

    medians: Tensor
    means: Tensor
    scales: Tensor

    def __init__(self, name: str, transform: TableTransform) -> None:
        super().__init__()
        self.transform, self.name = transform, name
        facts = TableFacts.model_validate(transform.facts())
        self.numbers, self.categories = facts.numbers, facts.categories
        slots = []
        if self.numbers:
            holds = "numbers in the order of `numbers`, NaN where one is missing"
            slots.append(Slot(f"{name}_numbers", "float64", (BATCH, len(self.numbers)), holds))
        if self.categories:
            holds = (
                "categories in the order of `categories`: its place in the list plus "
                f"{FIRST_KNOWN}, 0 for one that is not in it, 1 where it is missing"
            )
            slots.append(Slot(f"{name}_categories", "int64", (BATCH, len(self.categories)), holds))
        self.slots = tuple(slots)
        for buffer, key in (("medians", "median"), ("means", "mean"), ("scales", "scale")):
            values = [getattr(number, key) for number in self.numbers]
            self.register_buffer(buffer, torch.tensor(values, dtype=torch.float64))

    def forward(self, *tensors: Tensor) -> Tensor:
        parts = []
        if self.numbers:
            missing_BN = tensors[0].isnan()
            filled_BN = torch.where(missing_BN, self.medians, tensors[0])
            # Not told apart by training rows: 0 in every row
            scales_N = torch.where(self.scales == 0, torch.inf, self.scales)
            away_BN = ((filled_BN - self.means) / scales_N).clamp(-STANDARD_LIMIT, STANDARD_LIMIT)
            parts += [away_BN.float(), missing_BN.float()]
        if self.categories:
            parts.append(tensors[-1].float())
        return torch.cat(parts, dim=1)

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        numbers_BN = random.normal(size=(rows, len(self.numbers)))
        numbers_BN = numbers_BN * self.scales.numpy() + self.means.numpy()
        numbers_BN[random.random(numbers_BN.shape) < 0.2] = np.nan
        known = [FIRST_KNOWN + len(category.known) for category in self.categories]
        codes = [random.integers(0, most, rows) for most in known]
        codes_BC = np.stack(codes, 1) if codes else np.zeros((rows, 0), np.int64)
        table = self.transform.for_column(self.transform.as_column())
        values_BF = np.concatenate([numbers_BN, _places(codes_BC)], axis=1)
        prepared = table.prepare(values_BF)
        assert isinstance(prepared, Tensor)
        # Its rows can hold no category that it does not know: that code is put in here.
        prepared[:, 2 * len(self.numbers) :] = torch.from_numpy(codes_BC)
        given = [torch.from_numpy(numbers_BN)] if self.numbers else []
        given += [torch.from_numpy(codes_BC)] if self.categories else []
        return tuple(given), prepared

    def own_facts(self) -> dict[str, Any]:
        return {
            "numbers": [number.name for number in self.numbers],
            "categories": {category.name: list(category.known) for category in self.categories},
        }


def _places(codes_BC: np.ndarray) -> np.ndarray:
    """Return codes as a table of the known categories holds them; NaN where there is none."""
    return np.where(codes_BC < FIRST_KNOWN, np.nan, codes_BC - FIRST_KNOWN)


class ScaledTableFront(Front):
    """A table whose numbers are scaled by quantiles, which no program does: prepared rows."""

    def __init__(self, name: str, transform: TableTransform) -> None:
        super().__init__()
        self.transform = transform
        width = transform.layout.width
        holds = (
            "the numbers scaled by the training rows' quantiles (`numbers` has them: the share of "
            "them below a value, as a normal variable, clipped to ±5.2; a missing one is the "
            "median), then 1 where each was missing, else 0, then the categories' codes: the place "
            "in `known` plus 2, 0 for one that is not in it, 1 where it is missing"
        )
        self.slots = (Slot(name, "float32", (BATCH, width), holds),)

    def forward(self, *tensors: Tensor) -> Tensor:
        return tensors[0]

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        layout = self.transform.layout
        n = len(layout.numbers)
        x = torch.from_numpy(random.normal(size=(rows, layout.width)).astype(np.float32))
        x[:, n : 2 * n] = (x[:, n : 2 * n] > 0).float()
        for place, (_, known) in enumerate(layout.categories, 2 * n):
            codes = random.integers(0, FIRST_KNOWN + len(known), rows)
            x[:, place] = torch.from_numpy(codes).float()
        return (x,), x

    def own_facts(self) -> dict[str, Any]:
        facts = self.transform.facts()
        return {key: facts[key] for key in ("numbers", "categories")}
