"""The parameters of one field, and a table's stem made of them.

A stem keeps each field's parameters under its name, so that those of a field which two tables share
can be carried from one network to another: see `grafting`.

Legend: B rows, K codes (unknown, missing, then the known categories), E width of an embedding,
D width.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor, nn

from raytl.modalities.table.coding import FIRST_KNOWN
from raytl.modalities.table.layout import Layout


def module_name(field: str) -> str:
    """Return a field's name as torch allows it for a module; each field has another one."""
    return "field_" + quote(field, safe="").replace(".", "%2E")


class NumberField(nn.Module):
    """x·weight + missing·missing_weight (+ bias): a vector of D for a number.

    `missing_weight` starts at 0: as long as no training row misses the value, a missing one is the
    median and no more.
    """

    def __init__(self, width: int, bound: float, *, bias: bool) -> None:
        """`bound`: weights are drawn from ±bound."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.missing_weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound)) if bias else None


class CategoryField(nn.Module):
    """embedding[code] (→ linear) (+ bias): a vector of D for a category.

    The vectors of the codes for unknown and missing start at 0: as long as no training row has
    them, they add nothing.
    """

    def __init__(
        self, known: int, embedding: int, width: int | None, bound: float, *, bias: bool
    ) -> None:
        """`known` categories; `width`: D where an E-wide embedding is projected, None where D = E
        is not. Weights are drawn from ±bound, an embedding that is projected from N(0, 1)."""
        super().__init__()
        codes_KE = torch.empty(FIRST_KNOWN + known, embedding)
        if width is None:
            codes_KE.uniform_(-bound, bound)
        else:
            codes_KE.normal_()
        codes_KE[:FIRST_KNOWN] = 0
        self.embedding = nn.Parameter(codes_KE)
        projection = None if width is None else torch.empty(width, embedding)
        self.projection_DE = (
            None if projection is None else nn.Parameter(projection.uniform_(-bound, bound))
        )
        size = width or embedding
        self.bias = nn.Parameter(torch.empty(size).uniform_(-bound, bound)) if bias else None

    def forward(self, codes_B: Tensor) -> Tensor:
        h = nn.functional.embedding(codes_B, self.embedding)
        if self.projection_DE is not None:
            h = nn.functional.linear(h, self.projection_DE)
        return h if self.bias is None else h + self.bias


class FieldStem(nn.Module):
    """A stem with the parameters of each field under `fields.<its name>`."""

    def __init__(
        self,
        layout: Layout,
        number: Callable[[], NumberField],
        category: Callable[[int], CategoryField],
    ) -> None:
        """`number()` and `category(known categories)` make a field's parameters."""
        super().__init__()
        self.layout = layout
        self.fields = nn.ModuleDict()
        for name in layout.numbers:
            self.fields[module_name(name)] = number()
        for name, known in layout.categories:
            self.fields[module_name(name)] = category(len(known))

    def numbers(self, parameter: Callable[[Any], Tensor]) -> Tensor:
        """Return one parameter (D,) of all number fields, (N, D)."""
        names = [module_name(name) for name in self.layout.numbers]
        return torch.stack([parameter(self.fields[name]) for name in names])

    def categories(self, codes_BC: Tensor) -> list[Tensor]:
        """Return a vector (B, D) for each category field."""
        names = [module_name(name) for name, _ in self.layout.categories]
        return [self.fields[name](codes_BC[:, i]) for i, name in enumerate(names)]
