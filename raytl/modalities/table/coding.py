"""Categories: known from training rows, coded for a network.

Legend: N rows, K known categories.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import model_validator

from raytl.config import Frozen
from raytl.modalities.table.column import Field

UNKNOWN, MISSING, FIRST_KNOWN = 0, 1, 2  # codes


class CategoryFacts(Frozen):
    """A category's field: `known` categories have the codes 2, 3, …; 0 is any other, 1 is
    missing."""

    name: str
    known: tuple[str, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.known)) < len(self.known):
            raise ValueError(f"the known categories of '{self.name}' must differ from each other")
        return self


def frequent(field: Field, values_N: np.ndarray, min_count: int) -> list[str]:
    """Return the categories that at least `min_count` of the rows have, in the field's order."""
    codes = values_N[~np.isnan(values_N)].astype(np.int64)
    counts = np.bincount(codes, minlength=len(field.categories))
    pairs = zip(field.categories, counts, strict=True)
    return [category for category, count in pairs if count >= min_count]


def lookup(facts: CategoryFacts, categories: Sequence[str]) -> np.ndarray:
    """Return the code of each of a table's `categories`, and last that of a missing value,
    float64."""
    code_of = {category: code for code, category in enumerate(facts.known, FIRST_KNOWN)}
    return np.array([code_of.get(category, UNKNOWN) for category in categories] + [MISSING], float)


def coded(codes: np.ndarray, values_N: np.ndarray) -> np.ndarray:
    """Return the codes of values (N,), by what `lookup` returned."""
    places = np.where(np.isnan(values_N), len(codes) - 1, values_N).astype(np.int64)
    return codes[places]
