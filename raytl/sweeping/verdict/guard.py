"""Two rows on which models disagree, one each way, that are added before the rows' variance is
estimated: so it is never zero.

Where two models agree on every test row, the rows alone say that they are alike for certain; but of
N rows without a disagreement, up to about 3 / N of all rows may hold one (the rule of three). With
one row added each way the interval is about as wide: t·√2·d / N for rows that differ by d (Bonett
and Price 2012, for two proportions, where d is 1). A disagreement that nobody has seen needs a size
where rows are not just right or wrong: it is what this run's own right and wrong answers differ by,
not the worst that there could be, or a few rare positives, or the unbounded log loss, would make
intervals several times as wide for nothing.

Legend: N rows, K classes.
"""

from collections.abc import Sequence

import numpy as np

from raytl.predictions import Predictions
from raytl.scoring.metrics import Metric

Pair = tuple[list[Predictions], list[Predictions]]


def with_discordant_rows(
    metric: Metric, ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: np.ndarray
) -> Pair:
    """Return the runs with two rows more, units of their own: one that ours has right and theirs
    wrong in every seed, and one the other way. `unit_N`: of the rows as they are.

    - Classes: of the class of median size, as a score may weigh classes (in simulation macro F1
      then covers at 96 % or more; with the rarest class the interval is up to half wider for
      nothing); the wrong answer is the largest other class.
    - Probabilities: one row of that class and one of the largest other class, as few rows of a
      class weigh the more. To both ours gives what it gives to its median row of the first class
      (by that class's probability), theirs what it gives to its median row of the second: so each
      has one of them right. A run that gives the same to both rows (a constant) goes half of the
      way to certainty each.
    - Values: of the median target. Right is the target; wrong is off by the root mean squared error
      of all runs of both, or where none errs by the targets' standard deviation.
    - Statistics: wrong is the typical row of all runs of both (of masks their mean), right the same
      row answered as well as can be; where no run errs wrong is the typical row of one answer to
      all rows.
    """
    unit_N = np.append(unit_N, unit_N.max() + np.array([1, 2]))
    if metric.reads == "values":
        return _values(ours, theirs, unit_N)
    if metric.reads == "probabilities":
        return _probabilities(ours, theirs, unit_N)
    if metric.all_right is not None:
        return _statistics(metric, ours, theirs, unit_N)
    return _classes(ours, theirs, unit_N)


def _extended(
    run: Predictions,
    unit_N: np.ndarray,
    targets: Sequence[float],
    said: Sequence[float],
    said_p: Sequence[np.ndarray] | None = None,
) -> Predictions:
    p_NK = None if said_p is None else np.concatenate([run.given("probabilities"), said_p])
    predicted_N = run.given("values")
    return Predictions(
        np.arange(len(unit_N)), np.append(run.target_N, np.asarray(targets)),
        np.append(predicted_N, np.asarray(said)), p_NK, unit_N,
    )  # fmt: skip


def _classes(
    ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: np.ndarray
) -> Pair:
    right, wrong = _two_classes(ours[0].target_N)
    targets = [right, right]
    return (
        [_extended(run, unit_N, targets, [right, wrong]) for run in ours],
        [_extended(run, unit_N, targets, [wrong, right]) for run in theirs],
    )


def _probabilities(
    ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: np.ndarray
) -> Pair:
    right, wrong = _two_classes(ours[0].target_N)
    targets = right, wrong % ours[0].given("probabilities").shape[1]

    def extended(run: Predictions, side: int) -> Predictions:
        p_K = _typical(run, *targets)[side]
        return _extended(run, unit_N, targets, [int(p_K.argmax())] * 2, [p_K] * 2)

    return [extended(run, 0) for run in ours], [extended(run, 1) for run in theirs]


def _two_classes(target_N: np.ndarray) -> tuple[int, int]:
    """Return the class of median size and the largest other one; the next number where there is
    none."""
    classes, counts = np.unique(target_N, return_counts=True)
    right = classes[np.argsort(counts, kind="stable")[(len(counts) - 1) // 2]]
    others = counts * (classes != right)
    return int(right), int(classes[others.argmax()] if others.any() else right + 1)


def _typical(run: Predictions, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities, (K,), that a run gives to its median row of each class."""
    p_NK = run.given("probabilities").astype(np.float64)
    of_right, of_wrong = (_median_row(p_NK, run.target_N, k) for k in (right, wrong))
    if np.array_equal(of_right, of_wrong):
        certain_KK = np.eye(p_NK.shape[1])
        of_right, of_wrong = ((of_right + certain_KK[k]) / 2 for k in (right, wrong))
    return of_right, of_wrong


def _median_row(p_NK: np.ndarray, target_N: np.ndarray, k: int) -> np.ndarray:
    rows = p_NK[target_N == k]
    if not len(rows):
        return np.asarray(p_NK.mean(axis=0))
    return np.asarray(rows[np.argsort(rows[:, k], kind="stable")[(len(rows) - 1) // 2]])


def _values(ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: np.ndarray) -> Pair:
    target_N = ours[0].target_N
    middle = float(np.sort(target_N)[(len(target_N) - 1) // 2])
    errors = [run.given("values").astype(np.float64) - target_N for run in (*ours, *theirs)]
    off = float(np.sqrt(np.mean(np.square(errors)))) or float(target_N.std())
    return (
        [_extended(run, unit_N, [middle] * 2, [middle, middle + off]) for run in ours],
        [_extended(run, unit_N, [middle] * 2, [middle + off, middle]) for run in theirs],
    )


def _statistics(
    metric: Metric, ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: np.ndarray
) -> Pair:
    assert metric.all_right is not None and metric.one_answer is not None
    every = np.concatenate([run.given(metric.reads) for run in (*ours, *theirs)])
    wrong = metric.typical(every)
    right = metric.all_right(wrong)
    if np.allclose(wrong, right):
        wrong = metric.typical(metric.one_answer(every))
        right = metric.all_right(wrong)

    def extended(run: Predictions, added: Sequence[np.ndarray]) -> Predictions:
        statistics_NM = np.concatenate([run.given(metric.reads), *added])
        return Predictions(
            np.arange(len(unit_N)), np.append(run.target_N, [0, 0]), None, None, unit_N,
            statistics_NM,
        )  # fmt: skip

    return (
        [extended(run, [right, wrong]) for run in ours],
        [extended(run, [wrong, right]) for run in theirs],
    )
