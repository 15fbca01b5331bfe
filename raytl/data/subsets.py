"""Subsets of rows: some held out, some labelled.

Targets are class numbers, whole numbers (N,), NO_LABEL where a row has none, or values, floats
(N,), NaN where a row has none; rows without one are never chosen.

Legend: N rows, K classes.
"""

import numpy as np

from raytl.data.group_holdout import hold_groups
from raytl.errors import DataError
from raytl.tasks.columns import NO_LABEL

MOST_BINS = 10  # of values, to hold out by


def holdout(
    targets: np.ndarray,
    fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
    option: str = "validation_fraction",
) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows that have a target into (training, validation), `fraction` of them held out.

    Classes: every one has its share of the held-out rows, rounded by largest remainder, and one at
    least. Values: the same, by up to 10 bins of as many rows each. With `groups` (N,) whole groups
    are held out, those whose rows come nearest to these shares; see `hold_groups`.

    `option`: what messages call `fraction`.

    scikit-learn's `train_test_split` would do, but every worker would spend seconds importing it.
    Returns sorted int64 row numbers. Raises DataError where a class has a single row, where the
    held-out part would have fewer rows than classes, or where groups cannot be parted so.
    """
    known = labelled(targets)
    strata = _strata(targets[known], fraction, option)
    if groups is not None:
        held = hold_groups(strata, groups[known], fraction, seed)
        return known[~held], known[held]
    train, validation = _hold_rows(strata, fraction, seed, option)
    return known[train], known[validation]


def labelled(targets: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that have a target, sorted."""
    there = ~np.isnan(targets) if _are_values(targets) else targets != NO_LABEL
    return np.flatnonzero(there)


def _are_values(targets: np.ndarray) -> bool:
    return bool(np.issubdtype(targets.dtype, np.floating))


def _strata(targets: np.ndarray, fraction: float, option: str) -> np.ndarray:
    """Return each row's class, or its bin of values: at most as many bins as rows to hold out."""
    if not _are_values(targets):
        return targets
    held = round(len(targets) * fraction)
    if not 1 <= held < len(targets):
        raise DataError(
            f"cannot hold out {fraction:g} of {len(targets)} rows with a value: that is {held}, "
            f"and a row must be on each side; label more rows or change {option}"
        )
    bins = max(1, min(MOST_BINS, held, len(targets) // 2))
    ranks = np.argsort(np.argsort(targets, kind="stable"), kind="stable")
    return ranks * bins // len(targets)


def _hold_rows(
    strata: np.ndarray, fraction: float, seed: int, option: str
) -> tuple[np.ndarray, np.ndarray]:
    values, counts = np.unique(strata, return_counts=True)
    held = round(len(strata) * fraction)
    if not len(values):
        raise DataError(f"cannot hold out {fraction:g} of no labelled rows; label some")
    if len(values) == 1 and not 1 <= held < len(strata):
        raise DataError(
            f"cannot hold out {fraction:g} of {len(strata)} labelled rows: that is {held}, and a "
            f"row must be on each side; label more rows or change {option}"
        )
    if counts.min() < 2:
        raise DataError(
            f"cannot hold out {fraction:g} of {len(strata)} labelled rows: class "
            f"{values[counts.argmin()]} has one, and needs two, one on each side; add rows of it, "
            "or leave it out"
        )
    if held < len(values):
        raise DataError(
            f"cannot hold out {fraction:g} of {len(strata)} labelled rows: {held} held-out rows "
            f"must cover {len(values)} classes; label more rows or raise {option}"
        )
    shares = counts * held / len(strata)
    taken = np.maximum(np.floor(shares).astype(int), 1)
    most_wanting = np.argsort(taken - shares, kind="stable")
    taken[most_wanting[: max(0, held - taken.sum())]] += 1
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(strata == value)) for value in values]
    parts = list(zip(rows, np.minimum(taken, counts - 1), strict=True))
    train = np.concatenate([of_class[count:] for of_class, count in parts])
    validation = np.concatenate([of_class[:count] for of_class, count in parts])
    return np.sort(train), np.sort(validation)


def few_labels(
    targets: np.ndarray, count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return sorted rows drawn with `seed`: `count` of every class; of values, `count` in all.

    With `groups` (N,) they come from as many groups as can be, in turn, so that groups can be held
    out of them. Raises DataError where there are fewer.
    """
    generator = np.random.default_rng(seed)
    known = labelled(targets)
    if _are_values(targets):
        if len(known) < count:
            raise DataError(f"labels: {count} are asked for, but {len(known)} rows have a value")
        return np.sort(_in_turn(generator.permutation(known), groups)[:count])
    chosen = []
    for value in np.unique(targets[known]):
        rows = np.flatnonzero(targets == value)
        if len(rows) < count:
            raise DataError(
                f"labels: {count} per class are asked for, but class {value} has {len(rows)}"
            )
        chosen.append(_in_turn(generator.permutation(rows), groups)[:count])
    return np.sort(np.concatenate(chosen)) if chosen else known


def _in_turn(rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the rows so that the first of every group stand first, then the second ones, …"""
    if groups is None:
        return rows
    seen: dict[int, int] = {}
    turns = []
    for group in groups[rows].tolist():
        seen[group] = seen.get(group, 0) + 1
        turns.append(seen[group])
    return rows[np.argsort(turns, kind="stable")]


def any_rows(rows: int, fraction: float, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Return sorted numbers of about `fraction` of the rows, one at least, drawn without a look at
    their targets; whole groups where there are `groups` (N,).

    Raises DataError where all rows are of one group.
    """
    if groups is not None:
        return np.flatnonzero(hold_groups(np.zeros(rows, np.int64), groups, fraction, seed))
    count = max(1, round(rows * fraction))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])
