"""What tools said of the test rows, and how good it is: the same for every tool of `peers.py`.

Legend: N test rows, R bootstrap draws.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score

DRAWS, LEVEL = 1000, 0.95
Scorer = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Answers:
    """What a tool said of each test row, in their order: the class, and the probability of the rare
    class where one is scored."""

    predicted: list[str]
    rare: list[float] | None = None


@dataclass(frozen=True)
class Interval:
    """A figure and the interval of LEVEL that the bootstrap gives it."""

    value: float
    low: float
    high: float


def score(truth: Sequence[str], answers: Answers, rare: str | None) -> float:
    """Return the accuracy, or the average precision of the rare class where there is one."""
    return _scorer(truth, answers, rare)(np.arange(len(truth)))


def interval(truth: Sequence[str], answers: Answers, rare: str | None) -> Interval:
    """Return the score, and its percentile bootstrap over test rows."""
    return _bootstrapped(_scorer(truth, answers, rare), truth, rare)


def difference(truth: Sequence[str], ours: Answers, theirs: Answers, rare: str | None) -> Interval:
    """Return our score minus theirs, and its bootstrap over the same rows of both."""
    our, their = _scorer(truth, ours, rare), _scorer(truth, theirs, rare)
    return _bootstrapped(lambda rows_N: our(rows_N) - their(rows_N), truth, rare)


def _scorer(truth: Sequence[str], answers: Answers, rare: str | None) -> Scorer:
    """Return what scores some rows, by their numbers."""
    if rare is not None:
        assert answers.rare is not None, "of a rare class there are probabilities"
        rare_N, p_N = np.array([label == rare for label in truth]), np.array(answers.rare)
        return lambda rows_N: float(average_precision_score(rare_N[rows_N], p_N[rows_N]))
    codes = {label: k for k, label in enumerate({*truth, *answers.predicted})}
    truth_N = np.array([codes[label] for label in truth])
    predicted_N = np.array([codes[label] for label in answers.predicted])
    return lambda rows_N: float(accuracy_score(truth_N[rows_N], predicted_N[rows_N]))


def _bootstrapped(figure: Scorer, truth: Sequence[str], rare: str | None) -> Interval:
    """Return a figure of all rows and its quantiles over draws; of draws that have no row of the
    rare class, which have no precision, others are made."""
    assert rare is None or rare in truth, "each class has test rows"
    rng, every_N = np.random.default_rng(0), np.arange(len(truth))
    drawn_R: list[float] = []
    while len(drawn_R) < DRAWS:
        rows_N = rng.choice(every_N, len(every_N))
        if rare is None or any(truth[k] == rare for k in rows_N):
            drawn_R.append(figure(rows_N))
    low, high = np.quantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(figure(every_N), float(low), float(high))


def of_raytl(file: Path, rare: str | None) -> Answers:
    """Read what `raytl predict` wrote: file or row, predicted class and its probability. Of two
    classes the rare one's is that or the rest."""
    rows = _table(file)
    named = "file" if "file" in rows[0] else "row"
    rows.sort(key=lambda row: row[named] if named == "file" else int(row[named]))
    predicted = [row["predicted"] for row in rows]
    likely = [float(row["probability"]) for row in rows]
    if rare is None:
        return Answers(predicted)
    return Answers(
        predicted, [p if of == rare else 1 - p for of, p in zip(predicted, likely, strict=True)]
    )


def of_autogluon(file: Path, rare: str | None) -> Answers:
    """Read a column `label`, or a column of probabilities for each class."""
    rows = _table(file)
    if "label" in rows[0]:
        return Answers([row["label"] for row in rows])
    return _of_probabilities(rows, "", rare)


def of_ludwig(file: Path, rare: str | None) -> Answers:
    """Read the columns label_probabilities_CLASS."""
    return _of_probabilities(_table(file), "label_probabilities_", rare)


def _of_probabilities(rows: list[dict[str, str]], prefix: str, rare: str | None) -> Answers:
    columns = [name for name in rows[0] if name.startswith(prefix) and name != prefix]
    p_NK = np.array([[float(row[name]) for name in columns] for row in rows])
    classes = [name.removeprefix(prefix) for name in columns]
    predicted = [classes[k] for k in p_NK.argmax(1)]
    return Answers(predicted, None if rare is None else p_NK[:, classes.index(rare)].tolist())


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows:
        raise ValueError(f"{file.name}: no predictions in it")
    return rows


def check_rows(answers: Answers, truth: Sequence[str]) -> None:
    """Raise ValueError where there is not one finite answer for each test row."""
    if len(answers.predicted) != len(truth):
        raise ValueError(f"{len(answers.predicted)} predictions of {len(truth)} test rows")
    if answers.rare is not None and not np.isfinite(answers.rare).all():
        raise ValueError("a probability is not finite")
