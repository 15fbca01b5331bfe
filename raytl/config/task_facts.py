"""What a study file has to know of tasks before any data are opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# What a study is judged by; see scoring.metrics.
MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "auc",
    "average_precision",
    "log_loss",
    "rmse",
    "mae",
    "r2",
    "miou",
    "dice",
    "pixel_accuracy",
    "map50",
    "map",
    "bleu",
    "chrf",
    "steps_rmse",
    "steps_mae",
    "steps_r2",
]
HeadName = Literal[
    "linear",
    "mlp",
    "cosine",
    "cnn_fc",
    "unet",
    "faster_rcnn",
    "transformer_decoder",
    "gru_decoder",
    "pretrained_decoder",
    "naive",
    "constant",
]
TaskName = Literal[
    "classification", "regression", "segmentation", "detection", "translation", "forecasting"
]


@dataclass(frozen=True)
class TaskFacts:
    """`holds`: what its target column does, as sentences say it. `metrics`: what it can be judged
    by, the usual one first. `gives`: what recipes and the like may need: "classes" (a row has class
    probabilities), "values", "numbers" (a head gives a few numbers for a row), "maps",
    "sentences", "steps" (to come of a series), "entropy" (answers have one), "class
    weights" (a loss is of classes, which can be weighed). `heads`: what it can have, the usual one
    first."""

    holds: str
    metrics: tuple[MetricName, ...]
    gives: frozenset[str]
    heads: tuple[HeadName, ...]
    answer: str = "predicted"  # how a table of predictions calls them
    draws: bool = False  # whether a row, its target and its answer can be drawn
    files: bool = False  # whether answers are written as files


OF_ROWS: tuple[HeadName, ...] = ("linear", "mlp", "cosine", "cnn_fc", "constant")

TASK_FACTS: dict[TaskName, TaskFacts] = {
    "classification": TaskFacts(
        "classes",
        ("accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision", "log_loss"),
        frozenset({"classes", "numbers", "entropy", "class weights"}),
        OF_ROWS,
    ),
    # RMSE, not R²: on one test set both put models into one order, but R² is of another scale with
    # each test set's variance, and undefined where that is 0.
    "regression": TaskFacts(
        "values", ("rmse", "mae", "r2"), frozenset({"values", "numbers"}), OF_ROWS
    ),
    "segmentation": TaskFacts(
        "masks",
        ("miou", "dice", "pixel_accuracy"),
        frozenset({"maps", "entropy", "class weights"}),
        ("unet", "linear", "constant"),
        answer="mask",
        draws=True,
        files=True,
    ),
    # mAP50, not COCO's mAP: it says how many objects are found; how closely boxes are drawn is
    # often no better known than that.
    "detection": TaskFacts(
        "boxes",
        ("map50", "map"),
        frozenset({"maps"}),
        ("faster_rcnn", "constant"),
        answer="boxes",
        draws=True,
    ),
    "translation": TaskFacts(
        "sentences",
        ("bleu", "chrf"),
        frozenset({"sentences"}),
        ("transformer_decoder", "gru_decoder", "pretrained_decoder", "constant"),
        answer="sentence",
    ),
    "forecasting": TaskFacts(
        "steps to come",
        ("steps_rmse", "steps_mae", "steps_r2"),
        frozenset({"steps"}),
        (*OF_ROWS, "naive"),
        answer="forecast",
    ),
}


def task_of_metric(metric: str) -> TaskName:
    """Return the task that is judged by a metric."""
    return next(name for name, facts in TASK_FACTS.items() if metric in facts.metrics)


def task_kind(facts: Mapping[str, Any]) -> TaskName:
    """Return the kind of task that stored facts are of. Raises ValueError, a sentence, where it is
    unknown or missing."""
    kind = facts.get("kind")
    found = next((name for name in TASK_FACTS if name == kind), None)
    if found is None:
        raise ValueError(f"unknown kind '{kind}'; known: {', '.join(TASK_FACTS)}")
    return found
