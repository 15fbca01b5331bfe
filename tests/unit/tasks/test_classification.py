"""A class a row: weights, the best constant, what is measured and of which rows."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from raytl.predictions import Predictions
from raytl.tasks import base
from raytl.tasks.classification import Classification
from raytl.tasks.columns import NO_LABEL, LabelColumn
from raytl.tasks.registry import task_of

COLUMN = LabelColumn(classes=("no", "yes"), nulls=True)
TARGETS = np.array([0, 0, 0, 1, NO_LABEL])


def test_balanced_rows_count_with_the_weight_of_their_class() -> None:
    task = task_of(COLUMN, [TARGETS])
    out, target = torch.zeros(2, 2), torch.tensor([0, 1])
    plain, balanced = task.loss(out, target), task.loss(out, target, balanced=True)
    assert (balanced / plain).tolist() == pytest.approx([4 / 6, 2.0])
    mean = task.loss(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), balanced=True).mean()
    assert mean == pytest.approx(np.log(2))  # over the fitted rows the loss keeps its size


def test_classes_weigh_alike_where_the_task_was_fitted_to_nothing() -> None:
    task = Classification(COLUMN)
    out, target = torch.randn(3, 2), torch.tensor([0, 1, 1])
    assert torch.equal(task.loss(out, target), task.loss(out, target, balanced=True))


def test_the_best_constant_says_the_shares() -> None:
    task = task_of(COLUMN, [TARGETS])
    assert task.predict(task.constant_out()[None]).p_BK.tolist()[0] == pytest.approx([0.75, 0.25])
    absent = task.predict(task_of(COLUMN, [np.array([0, 0])]).constant_out()[None]).p_BK
    assert torch.isfinite(absent.log()).all() and absent[0, 1] < absent[0, 0]


def predictions(target_N: np.ndarray, p_N: np.ndarray) -> Predictions:
    p_NK = np.stack([1 - p_N, p_N], axis=1).astype(np.float32)
    return Predictions(np.arange(len(p_N)), target_N, p_NK.argmax(axis=1), p_NK)


def test_what_is_measured_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    target, p = generator.integers(0, 2, 60), generator.random(60)
    found = Classification(COLUMN).measure(predictions(target, p))
    assert found["auc"] == pytest.approx(roc_auc_score(target, p))
    assert found["average_precision"] == pytest.approx(average_precision_score(target, p))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(target, p > 0.5))
    assert found["accuracy"] == np.mean((p > 0.5) == target)
    assert set(found) == {
        "accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision", "log_loss",
        "calibration_error", "entropy", "confusion",
    }  # fmt: skip


def test_rows_without_a_label_are_left_out_of_all_but_the_entropy() -> None:
    said = predictions(np.array([1, NO_LABEL, 0]), np.array([0.9, 0.5, 0.9]))
    found = Classification(COLUMN).measure(said)
    assert found["accuracy"] == 0.5 and found["confusion"] == [[0, 1], [0, 1]]
    assert found["entropy"] == pytest.approx((np.log(2) + 2 * 0.325083) / 3, rel=1e-4)
    none = predictions(np.full(3, NO_LABEL), np.array([0.9, 0.5, 0.9]))
    assert set(Classification(COLUMN).measure(none)) == {"entropy"}


def test_what_is_dear_is_measured_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said = predictions(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.8]))
    monkeypatch.setattr(base, "MOST_SCORES", 5)
    found = Classification(COLUMN).measure(said)
    assert not {"auc", "average_precision"} & set(found)
    assert {"accuracy", "macro_f1", "log_loss"} <= set(found)
    assert Classification(COLUMN).measure(said, ["auc"]) == {"auc": 1.0}
