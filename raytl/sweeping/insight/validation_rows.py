"""Which rows are looked at: some whose labels were not learnt from; no label is read here.

Legend: N rows.
"""

from dataclasses import dataclass

import numpy as np

from raytl.data.domain import Domain
from raytl.seeds import seed_for
from raytl.training.material import Material
from raytl.training.splits import source_rows, target_rows

MOST_ROWS = 256  # of a domain


@dataclass(frozen=True)
class ValidationRows:
    """Rows of a split of a domain, by their numbers."""

    domain: Domain
    split: str
    numbers: np.ndarray

    @property
    def ids(self) -> np.ndarray:
        """The rows' ids, int64 (N,)."""
        return np.asarray(self.domain.split(self.split).ids()[self.numbers])


def validation_rows(material: Material, rows_seed: int | None) -> dict[str, ValidationRows]:
    """Return rows of "target" and, where there is one, "source" domain, MOST_ROWS of each at most,
    drawn by the study's seed: those held out for selection, and where they are few, of the target
    the training rows whose labels were not given. `rows_seed`: drew the target's labelled rows,
    None for the study's."""
    seed = material.study.search.seed
    target, source = material.domains.target, material.domains.source
    own = target_rows(target, seed if rows_seed is None else rows_seed)
    split, numbers = own.validation_split, own.validation
    unseen = np.setdiff1d(own.unlabelled, own.labelled)
    if len(numbers) < MOST_ROWS and len(unseen):
        if split == target.config.splits.train:
            numbers = np.union1d(numbers, unseen)
        elif len(unseen) > len(numbers):
            split, numbers = target.config.splits.train, unseen
    found = {"target": ValidationRows(target, split, _some(numbers, seed))}
    if source is not None:
        theirs = source_rows(source, seed)
        numbers = _some(theirs.validation, seed)
        found["source"] = ValidationRows(source, theirs.validation_split, numbers)
    return found


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed_for(seed, "rows looked at"))
    return np.sort(generator.permutation(rows)[:MOST_ROWS])
