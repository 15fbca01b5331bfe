"""What the selected candidate reaches in each class, beside the best control.

Legend: N rows, K classes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from raytl.predictions import Predictions
from raytl.scoring.box_metrics import parted
from raytl.scoring.classification import class_iou
from raytl.scoring.metrics import METRICS, Metric
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation

Values = list[float | None]  # a class each
MOST_CLASSES = 200
MOST_CONFUSED = 60  # a figure has a field for each pair of them


def class_figure(
    confirmation: Confirmation, predictions: Callable[[Candidate], list[Predictions]]
) -> dict[str, Any] | None:
    """Return each class's recall, IoU or average precision in per cent, the worst class first; None
    of tasks without classes. `predictions`: a candidate's."""
    ours, theirs = confirmation.selected, confirmation.best_control
    if ours is None or not ours.n or not confirmation.classes:
        return None
    shown = [one for one in (ours, theirs) if one is not None]
    words, of = _measure(METRICS[confirmation.metric])
    values = [_percent(of(one, predictions, confirmation)) for one in shown]
    if not any(value is not None for value in values[0]):
        return None
    rows = []
    for name, *each in zip(confirmation.classes, *values, strict=True):
        said = [f"{one.name}: {_text(value)}" for one, value in zip(shown, each, strict=True)]
        rows.append({"name": name, "values": each, "tip": "\n".join([name, words, *said])})
    rows.sort(key=lambda row: (row["values"][0] is None, row["values"][0] or 0.0))
    return {
        "rows": rows[:MOST_CLASSES], "names": [one.name for one in shown],
        "label": f"{words}, %",
    }  # fmt: skip


Measure = Callable[[Candidate, Callable[[Candidate], list[Predictions]], Confirmation], Values]


def _measure(metric: Metric) -> tuple[str, Measure]:
    if metric.reads == "boxes":
        return "average precision at IoU 0.5", _average_precision
    if metric.reads == "pixels":
        return "IoU", lambda one, of, all_: _unmeasured(all_) if not one.confusion else (
            class_iou(one.confusion)
        )  # fmt: skip
    return "recall", lambda one, of, all_: one.recall or _unmeasured(all_)


def _unmeasured(confirmation: Confirmation) -> Values:
    return [None] * len(confirmation.classes)


def _average_precision(
    one: Candidate, of: Callable[[Candidate], list[Predictions]], confirmation: Confirmation
) -> Values:
    """Return each class's average precision, the mean over seeds; None where no row has a box."""
    by_seed = [average_precision_of_classes(run) for run in of(one)]
    if not by_seed:
        return _unmeasured(confirmation)
    means = np.mean(np.array(by_seed, np.float64), axis=0)
    return [None if np.isnan(mean) else float(mean) for mean in means]


def average_precision_of_classes(run: Predictions) -> list[float]:
    """Return each class's average precision at IoU 0.5, NaN where no row has a box of it."""
    given = run.given("boxes")
    *_, boxes_NK = parted(given)
    found = []
    for k in range(boxes_NK.shape[1]):
        alone = given.copy()
        *_, counts_NK = parted(alone)
        counts_NK[:, np.arange(counts_NK.shape[1]) != k] = 0  # a view: of `alone`
        there = boxes_NK[:, k].any()
        found.append(METRICS["map50"].plain(run.target_N, alone) if there else float("nan"))
    return found


def _percent(values: Values) -> Values:
    return [None if value is None else round(100 * value, 2) for value in values]


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def confusion_figure(candidate: Candidate, classes: list[str]) -> dict[str, Any] | None:
    """Return counts of test rows (or pixels), true by predicted class; of many classes those that
    are mistaken most, and all others as one."""
    if not candidate.confusion:
        return None
    counts_KK, shown = most_confused(np.array(candidate.confusion), classes)
    label = "true by predicted class"
    if shown != classes:
        label = f"{label}, the {MOST_CONFUSED} that are mistaken most"
    return {"classes": shown, "counts": counts_KK.tolist(), "label": label}


def most_confused(counts_KK: np.ndarray, classes: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return counts, true by predicted class, and the classes; of more than MOST_CONFUSED those
    that are mistaken most, and all others as one."""
    if len(classes) <= MOST_CONFUSED:
        return counts_KK, classes
    wrong_K = counts_KK.sum(axis=0) + counts_KK.sum(axis=1) - 2 * counts_KK.diagonal()
    kept = np.sort(np.argsort(-wrong_K, kind="stable")[:MOST_CONFUSED])
    place_K = np.full(len(counts_KK), len(kept))
    place_K[kept] = np.arange(len(kept))
    member = np.eye(len(kept) + 1, dtype=counts_KK.dtype)[place_K]
    names = [*(classes[k] for k in kept), f"{len(classes) - len(kept)} others"]
    return np.asarray(member.T @ counts_KK @ member), names


def agreement_figure(runs: list[Predictions], most: int) -> dict[str, Any]:
    """Return predicted against true values of test rows, so many at most, of every seed."""
    shown = max(1, most // len(runs))
    return {
        "points": [
            [float(true), float(said), int(id_)]
            for run in runs
            for true, said, id_ in zip(
                run.target_N[:shown], run.given("values")[:shown], run.id_N[:shown], strict=True
            )
        ],
        "xlabel": "true value", "ylabel": "predicted value",
    }  # fmt: skip
