"""Subsets of rows by class."""

import numpy as np

from raytl.errors import DataError


def holdout(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into (training, validation), `fraction` of them held out, stratified by class:
    every class has its share of the held-out rows, rounded by largest remainder, and one at least.

    scikit-learn's `train_test_split` would do, but every worker would spend seconds importing it.
    Returns sorted int64 row numbers. Raises DataError where a class has a single row, or where
    the held-out part would have fewer rows than classes.
    """
    values, counts = np.unique(labels, return_counts=True)
    held = round(len(labels) * fraction)
    if counts.min() < 2 or held < len(values):
        raise DataError(
            f"cannot hold out {fraction:g} of {len(labels)} labelled rows: class "
            f"{values[counts.argmin()]} has {counts.min()}, and {held} held-out rows must cover "
            f"{len(values)} classes; label more rows or raise validation_fraction"
        )
    shares = counts * held / len(labels)
    taken = np.maximum(np.floor(shares).astype(int), 1)
    most_wanting = np.argsort(taken - shares, kind="stable")
    taken[most_wanting[: max(0, held - taken.sum())]] += 1
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(labels == value)) for value in values]
    parts = list(zip(rows, np.minimum(taken, counts - 1), strict=True))
    train = np.concatenate([of_class[count:] for of_class, count in parts])
    validation = np.concatenate([of_class[:count] for of_class, count in parts])
    return np.sort(train), np.sort(validation)


def few_labels(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Return sorted rows, `per_class` of every class, drawn with `seed`.

    Raises DataError where a class has fewer.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for value in np.unique(labels):
        rows = np.flatnonzero(labels == value)
        if len(rows) < per_class:
            raise DataError(
                f"labels: {per_class} per class are asked for, but class {value} has {len(rows)}"
            )
        chosen.append(generator.permutation(rows)[:per_class])
    return np.sort(np.concatenate(chosen))
