"""Whether each group stands in one split of a dataset alone.

Our own writer sees to that; a dataset may be another writer's.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from raytl.data.dataset import Dataset
from raytl.errors import DataError


def check_apart(dataset: Dataset, splits: Sequence[str]) -> None:
    """Raise DataError where a group has rows in two of the `splits`: what is learnt of a patient,
    say, in one would be judged by the same patient in the other."""
    if dataset.group is None:
        return
    groups_of = {name: np.unique(dataset.split(name).all(dataset.group)) for name in splits}
    for one, other in combinations(splits, 2):
        both = np.intersect1d(groups_of[one], groups_of[other], assume_unique=True)
        if len(both):
            raise DataError(
                f"{dataset.path}: a group must stand in one split alone, but {both[0]} of column "
                f"{dataset.group} has rows in {one} and {other} ({len(both)} such); shard the data "
                "again with its rows in one split, or without the column"
            )
