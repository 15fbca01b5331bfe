"""The scores that a study is judged by: what they are called, what they read, which way is better.

Legend: R weightings, N rows, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.errors import DataError, TrainingError
from raytl.scoring import box_metrics
from raytl.scoring import sentence_metrics as sentences
from raytl.scoring import step_metrics as steps
from raytl.scoring.class_metrics import balanced_accuracy, correct, macro_f1
from raytl.scoring.mask_metrics import all_right, dice, mean_iou, one_answer, pixel_accuracy
from raytl.scoring.probability_metrics import auc, average_precision, row_log_loss
from raytl.scoring.value_metrics import absolute_error, r_squared, root_mean_squared_error
from raytl.scoring.weighing import Floats, Scorer, in_chunks, weighted_mean

Array = NDArray[Any]
Mode = Literal["max", "min"]  # which scores are the better
Reads = Literal["classes", "probabilities", "values", "pixels", "boxes", "sentences", "steps"]
Whole = Callable[[Any, Any], Scorer]  # looks at targets and predictions once


def mean_row(given: Array) -> Array:
    """Return the mean of all rows, (1, M)."""
    return np.asarray(given.mean(axis=0, keepdims=True))


@dataclass(frozen=True)
class Metric:
    """A score of what was predicted of rows against their targets.

    `words`: how a person calls it. `reads`: what is given of each row: predicted "classes" (int64,
    (N,)), "probabilities" (float, (N, K)), "values" (float64, (N,)), or statistics that are made
    of its answer and its target, "pixels", "boxes", "sentences" or "steps" (see `mask_metrics`,
    `box_metrics`, `sentence_metrics`, `step_metrics`; (N, M)); targets are classes (int64, (N,)),
    for "values" float64. A score is shown times `scale`, in `unit`; `in_target_unit`: its unit is
    the target's own, and `unit` empty. `binary_only`: for two classes alone. `contrasts`: it takes
    classes one by one, and says nothing of rows that are all of one.

    `score(target_N, given, weights_RN)` returns the R scores of R weightings of the rows: the
    counts of a bootstrap draw, or ones for the plain score; it raises TrainingError where a
    prediction is not finite. `row_score(target_N, given)`, (N,), is there where the score is the
    weighted mean of one number a row. Of statistics, `all_right(given)` returns those of rows that
    are answered as well as can be, `one_answer(given)` those with one answer to all, where there is
    such; `typical(given)` returns one row, (1, M), as a model answers rows that it errs in,
    `spread(given)`, of those in the target's unit, the standard deviation of the targets.
    """

    name: str
    mode: Mode
    scale: float
    unit: str
    words: str
    reads: Reads
    score: Callable[[Array, Array, Floats], Floats]
    row_score: Callable[[Array, Array], Floats] | None = None
    in_target_unit: bool = False
    binary_only: bool = False
    contrasts: bool = False
    all_right: Callable[[Array], Array] | None = None
    one_answer: Callable[[Array], Array] | None = None
    typical: Callable[[Array], Array] = mean_row
    spread: Callable[[Array], float] | None = None

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1

    def plain(self, target_N: Array, given: Array) -> float:
        """Return the score of the rows as they are. Raises TrainingError where a prediction is not
        finite."""
        return float(self.score(target_N, given, np.ones((1, len(target_N))))[0])


def _scored(whole: Whole, target_N: Array, given: Array, weights_RN: Floats) -> Floats:
    """Return the scores, (R,), that `whole` gives of weights_RN, in bounded memory."""
    assert len(target_N) == len(given) > 0, "a prediction a row, and a row at least"
    wrong = int((~np.isfinite(given).reshape(len(given), -1).all(axis=1)).sum())
    if wrong:
        raise TrainingError(
            f"a score needs finite predictions, but those of {wrong} of {len(given)} rows are not: "
            "the training diverged; lower the learning rate"
        )
    return in_chunks(whole(target_N, given), weights_RN)


def _mean(row_score: Callable[[Array, Array], Floats], target_N: Array, given: Array) -> Scorer:
    return weighted_mean(row_score(target_N, given))


def _points(name: str, words: str, reads: Reads, whole: Whole, **more: Any) -> Metric:
    return Metric(name, "max", 100.0, "points", words, reads, partial(_scored, whole), **more)


def _error(name: str, unit: str, words: str, reads: Reads, whole: Whole, **more: Any) -> Metric:
    return Metric(name, "min", 1.0, unit, words, reads, partial(_scored, whole), **more)


def _of_pixels(name: str, words: str, whole: Whole) -> Metric:
    return _points(name, words, "pixels", whole, all_right=all_right, one_answer=one_answer)


def _of_boxes(name: str, words: str, *thresholds: int) -> Metric:
    return _points(
        name, words, "boxes", partial(box_metrics.mean_average_precision, thresholds),
        all_right=box_metrics.all_found, one_answer=box_metrics.nothing_found,
        typical=partial(box_metrics.middling, thresholds),
    )  # fmt: skip


def _of_steps(make: Callable[..., Metric], *what: Any, **more: Any) -> Metric:
    return make(*what, all_right=steps.all_right, one_answer=steps.one_answer, **more)


def _of_sentences(name: str, words: str, whole: Whole) -> Metric:
    return _points(
        name, words, "sentences", whole, all_right=sentences.all_right,
        one_answer=sentences.one_answer,
    )  # fmt: skip


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _points("accuracy", "accuracy", "classes", partial(_mean, correct), row_score=correct),
        _points(
            "balanced_accuracy", "balanced accuracy", "classes", balanced_accuracy,
            contrasts=True,
        ),
        _points("macro_f1", "macro F1", "classes", macro_f1, contrasts=True),
        _points("auc", "area under the ROC curve", "probabilities", auc, contrasts=True),
        _points(
            "average_precision", "average precision", "probabilities", average_precision,
            contrasts=True,
        ),
        _error(
            "log_loss", "nats", "log loss", "probabilities",
            partial(_mean, row_log_loss), row_score=row_log_loss,
        ),
        _error(
            "rmse", "", "root mean squared error, in the target's unit", "values",
            root_mean_squared_error, in_target_unit=True,
        ),
        _error(
            "mae", "", "mean absolute error, in the target's unit", "values",
            partial(_mean, absolute_error), row_score=absolute_error, in_target_unit=True,
        ),
        _points("r2", "R², the share of variance explained", "values", r_squared),
        _of_pixels("miou", "mean IoU", mean_iou),
        _of_pixels("dice", "Dice coefficient", dice),
        _of_pixels("pixel_accuracy", "pixel accuracy", pixel_accuracy),
        _of_boxes("map50", "mean average precision at IoU 0.5", 0),
        _of_boxes("map", "mean average precision at IoU 0.5 to 0.95", *range(10)),
        _of_sentences("bleu", "BLEU", sentences.bleu),
        _of_sentences("chrf", "chrF", sentences.chrf),
        _of_steps(
            _error, "steps_rmse", "", "root mean squared error, in the target's unit", "steps",
            steps.steps_rmse, in_target_unit=True, spread=steps.spread,
        ),
        _of_steps(
            _error, "steps_mae", "", "mean absolute error, in the target's unit", "steps",
            steps.steps_mae, in_target_unit=True, spread=steps.spread,
        ),
        _of_steps(
            _points, "steps_r2", "R², the share of variance explained", "steps", steps.steps_r2
        ),
    )
}  # fmt: skip


def margin_of(metric: Metric, margin: float, target_std: float | None = None) -> float:
    """Return the difference of scores below which two models count as alike, not yet times `scale`.

    `margin` is in points: hundredths of an accuracy and its like, and of a nat (the probability of
    the right class 1 % higher); of errors in the target's unit, per cent of `target_std`, the
    target's standard deviation. Raises DataError where such a target is constant.
    """
    if not metric.in_target_unit:
        return margin / 100
    assert target_std is not None, f"{metric.name} is in the target's unit"
    if not (np.isfinite(target_std) and target_std > 0):
        raise DataError(
            f"the margin of {metric.name} is a share of the target's standard deviation, which "
            f"must be > 0, but is {target_std:g}; look at the target column: are all values alike?"
        )
    return margin / 100 * target_std
