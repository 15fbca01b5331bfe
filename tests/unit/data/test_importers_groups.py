"""Held-out and labelled rows respect groups, values and rows without a target."""

import numpy as np
import pytest

from raytl.data.subsets import any_rows, few_labels, holdout
from raytl.errors import DataError
from raytl.tasks.columns import NO_LABEL

GROUPS = np.repeat(np.arange(10), 20)
LABELS = np.tile([0, 1, 1, 1], 50)


def test_groups_are_held_out_whole_with_the_shares_of_classes() -> None:
    train, held = holdout(LABELS, 0.3, 0, GROUPS)
    assert not set(GROUPS[train]) & set(GROUPS[held])
    assert len(held) == 60 and len(train) == 140
    assert (LABELS[held] == 0).sum() == 15


def test_a_rare_class_that_two_groups_have_stands_on_both_sides() -> None:
    labels = np.zeros(200, np.int64)
    labels[[5, 25]] = 1  # in groups 0 and 1
    for seed in range(5):
        train, held = holdout(labels, 0.2, seed, GROUPS)
        assert set(labels[train]) == set(labels[held]) == {0, 1}


def test_the_seed_draws_the_groups() -> None:
    drawn = {tuple(np.unique(GROUPS[holdout(LABELS, 0.2, seed, GROUPS)[1]])) for seed in range(9)}
    assert len(drawn) > 3
    assert np.array_equal(holdout(LABELS, 0.2, 1, GROUPS)[1], holdout(LABELS, 0.2, 1, GROUPS)[1])


def test_groups_that_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="all 4 are of one group"):
        holdout(np.array([0, 1, 0, 1]), 0.5, 0, np.zeros(4, np.int64))
    with pytest.raises(DataError, match="would have no row to learn from"):
        holdout(np.array([0, 0, 1, 1]), 0.5, 0, np.array([0, 0, 1, 1]))


def test_values_are_held_out_by_bins() -> None:
    values = np.random.default_rng(0).permutation(100).astype(float)
    train, held = holdout(values, 0.2, 0)
    assert sorted([*train, *held]) == list(range(100))
    assert np.histogram(values[held], bins=10, range=(0, 100))[0].tolist() == [2] * 10
    with pytest.raises(DataError, match="cannot hold out 0.1 of 3 rows with a value"):
        holdout(values[:3], 0.1, 0)


def test_rows_without_a_target_are_never_chosen() -> None:
    labels = LABELS.copy()
    labels[::3] = NO_LABEL
    values = np.where(labels == NO_LABEL, np.nan, np.arange(200.0))
    for targets in (labels, values):
        train, held = holdout(targets, 0.2, 0)
        assert not set(np.arange(0, 200, 3)) & {*train, *held}
        assert len(train) + len(held) == (labels != NO_LABEL).sum()
        assert (labels[few_labels(targets, 20, 0)] != NO_LABEL).all()


def test_few_values_are_so_many_in_all() -> None:
    values = np.arange(50.0)
    assert len(few_labels(values, 7, 0)) == 7
    with pytest.raises(DataError, match="labels: 60 are asked for, but 50 rows have a value"):
        few_labels(values, 60, 0)


def test_few_labels_come_from_as_many_groups_as_can_be() -> None:
    rows = few_labels(LABELS, 5, 0, GROUPS)
    for value in (0, 1):
        groups = GROUPS[rows[LABELS[rows] == value]]
        assert len(groups) == 5 == len(set(groups))


def test_rows_drawn_without_labels_are_whole_groups() -> None:
    rows = any_rows(200, 0.3, 0, GROUPS)
    assert len(rows) == 60 and len(set(GROUPS[rows])) == 3
    assert len(any_rows(200, 0.3, 0)) == 60
    assert len(any_rows(3, 0.01, 0)) == 1
