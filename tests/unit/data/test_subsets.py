"""Which rows are held out, and which are labelled."""

import numpy as np
import pytest

from raytl.data.subsets import few_labels, holdout
from raytl.errors import DataError


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_every_class_has_its_share(fraction: float) -> None:
    labels = np.repeat([0, 1, 2], [50, 33, 7])
    train, validation = holdout(labels, fraction, seed=0)
    assert sorted([*train, *validation]) == list(range(90))
    assert len(validation) == round(90 * fraction)
    for value, count in enumerate([50, 33, 7]):
        held = (labels[validation] == value).sum()
        assert abs(held - count * fraction) < 1
        assert held >= 1


def test_the_seed_decides() -> None:
    labels = np.arange(100) % 4
    one, again, other = (holdout(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert one == again != other
    assert few_labels(labels, 3, 0).tolist() == few_labels(labels, 3, 0).tolist()


def test_rare_classes_stay_in_both_parts() -> None:
    labels = np.repeat([0, 1, 2], [96, 2, 2])
    train, validation = holdout(labels, 0.1, seed=0)
    assert set(labels[train]) == set(labels[validation]) == {0, 1, 2}


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="class 1 has one, and needs two, one on each side"):
        holdout(np.array([0, 0, 0, 1]), 0.5, 0)
