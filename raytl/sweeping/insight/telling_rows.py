"""Test rows worth a look: those that every model misses, and those that transfer mended or broke.

Legend: N test rows, S seeds, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS, Metric
from raytl.scoring.wording import named, value_text
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation

SHOWN = 8  # rows of a kind
MOST_SCORED = 300  # rows that are scored one by one, of tasks where that takes a while
Kind = Literal["missed", "mended", "broken"]
Read = Callable[[Candidate], list[Predictions]]  # of test rows, a seed each
# By which a single row is scored: some scores of a study say little of one (BLEU, R²)
OF_A_ROW = {"pixels": "miou", "boxes": "map50", "sentences": "chrf", "steps": "steps_mae"}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TellingRow:
    """A test row by its id, what is true of it and what was said, as a person reads it, None where
    that is no class or value; `ours` and `theirs`: the row's score by the selected candidate and by
    the best control, the mean over seeds, more is better (a share of seeds that were right, a
    negative error, a score of this row alone)."""

    kind: Kind
    id: int
    target: str | None
    said: str | None
    control_said: str | None
    ours: float
    theirs: float


@dataclass(frozen=True)
class Telling:
    """Rows of each kind, how many there are among the `looked_at` rows, and against which control.
    `words`: what a row's score is, shown times `scale`."""

    rows: list[TellingRow]
    counts: dict[Kind, int]
    looked_at: int
    control: str
    words: str
    scale: float


def telling_rows(confirmation: Confirmation, predictions_of: Read) -> Telling | None:
    """Return up to SHOWN rows of each kind, the clearest first; None without a control, a selected
    candidate, or predictions of each. A row is missed where no candidate is right with any seed, of
    values and scores where even the best is worst; mended and broken compare the selected candidate
    with the control of the best mean."""
    ours, best = confirmation.selected, confirmation.best_control
    if ours is None or not ours.n or best is None:
        return None
    metric = METRICS[confirmation.metric]
    pair = predictions_of(ours), predictions_of(best)
    if not all(pair):
        return None
    some = np.arange(len(pair[0][0].id_N))
    if metric.reads not in ("classes", "probabilities", "values"):
        some = some[:: max(1, -(-len(some) // MOST_SCORED))]
    mine, theirs = (_row_scores(metric, runs, some) for runs in pair)
    highest_N = np.maximum(mine, theirs)
    for other in confirmation.candidates:  # one after the other: all at once are many
        if other.n and other.name not in (ours.name, best.name):
            runs = predictions_of(other)
            if not runs:
                return None
            highest_N = np.maximum(highest_N, _row_scores(metric, runs, some))
    return _telling(confirmation, metric, best, pair, (mine, theirs, highest_N), some)


def _telling(
    confirmation: Confirmation,
    metric: Metric,
    best: Candidate,
    pair: tuple[list[Predictions], list[Predictions]],
    scores: tuple[Floats, Floats, Floats],
    some: NDArray[Any],
) -> Telling:
    """`pair`: predictions of the selected candidate and of the control `best`; `scores`: theirs,
    and the highest of all, (N,) each."""
    mine, theirs, highest_N = scores
    classes = metric.reads in ("classes", "probabilities")
    missed = np.flatnonzero(highest_N == 0) if classes else np.argsort(highest_N, kind="stable")
    if classes:  # the most certain errors first
        missed = missed[np.argsort(-_certainty(pair[0])[some][missed], kind="stable")]
    gain_N = mine - theirs
    order = np.argsort(-gain_N, kind="stable")
    found: dict[Kind, NDArray[Any]] = {
        "missed": missed,
        "mended": order[gain_N[order] > 0],
        "broken": order[::-1][gain_N[order[::-1]] < 0],
    }
    rows = [
        _row(confirmation, kind, (pair[0][0], pair[1][0]), (mine, theirs), some, i)
        for kind, places in found.items()
        for i in places[:SHOWN]
    ]
    counts = {kind: len(places) for kind, places in found.items()}
    words, scale = "seeds that are right", 1.0
    if not classes:
        of_row = METRICS.get(OF_A_ROW.get(metric.reads, ""))
        words = f"{named(of_row)} of the row alone" if of_row else "absolute error"
        scale = of_row.scale if of_row else 1.0
        counts["missed"] = 0  # there is no line between right and wrong
    return Telling(rows, counts, len(some), best.name, words, scale)


def _row_scores(metric: Metric, runs: list[Predictions], some: NDArray[Any]) -> Floats:
    """Return each row's score, the mean over seeds, (N,)."""
    return np.mean([_scores(metric, run.cut(some)) for run in runs], axis=0)


def _scores(metric: Metric, run: Predictions) -> Floats:
    if metric.reads in ("classes", "probabilities"):
        return np.asarray(run.given("classes") == run.target_N, np.float64)
    if metric.reads == "values":
        return -np.abs(run.given("values") - run.target_N)
    given, one = run.given(metric.reads), np.ones((1, 1))
    metric = METRICS[OF_A_ROW[metric.reads]]
    return np.array([
        metric.sign * float(metric.score(run.target_N[i : i + 1], given[i : i + 1], one)[0])
        for i in range(len(run.id_N))
    ])  # fmt: skip


def _certainty(runs: list[Predictions]) -> Floats:
    """Return the mean probability of what was said, (N,); zeros where none was kept."""
    known = [run.p_NK.max(axis=1) for run in runs if run.p_NK is not None]
    return np.mean(known, axis=0) if known else np.zeros(len(runs[0].id_N))


def _row(
    confirmation: Confirmation,
    kind: Kind,
    pair: tuple[Predictions, Predictions],
    scores: tuple[Floats, Floats],
    some: NDArray[Any],
    place: int,
) -> TellingRow:
    ours, theirs = pair
    row = int(some[place])

    def word(value: Any) -> str:
        return confirmation.classes[int(value)] if confirmation.classes else value_text(value)

    plain = METRICS[confirmation.metric].reads in ("classes", "probabilities", "values")
    said = [word(run.given("classes")[row]) if plain else None for run in (ours, theirs)]
    return TellingRow(
        kind=kind, id=int(ours.id_N[row]), target=word(ours.target_N[row]) if plain else None,
        said=said[0], control_said=said[1],
        ours=float(scores[0][place]), theirs=float(scores[1][place]),
    )  # fmt: skip
