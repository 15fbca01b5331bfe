"""Paired differences of two models' test scores, with an interval over seeds and test rows.

S seeds, N test rows, U units that are drawn together (groups of rows, or single rows), R draws.
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit

from raytl.errors import DataError
from raytl.predictions import Predictions
from raytl.scoring.metrics import Metric
from raytl.scoring.weighing import Floats, Ints
from raytl.sweeping.verdict.guard import with_discordant_rows

DRAWS = 1000  # v within 5 %, the width within 2
_CHUNK = 2**22  # weights drawn at a time


class Difference(BaseModel):
    """A paired difference of scores, positive where ours is better, with its interval.

    `n` seeds, `rows` test rows in `units` that are drawn together, seen in `looks` looks in all.
    `seed_variance` is s²/n of the differences by seed; `shared_variance` is the part of it that
    more rows make smaller too; `row_variance` is what is left for the rows with any number of
    seeds.
    """

    model_config = ConfigDict(frozen=True)

    difference: float
    interval: tuple[float, float]
    level: float
    n: int
    rows: int
    units: int
    looks: int
    seed_variance: float
    row_variance: float
    shared_variance: float

    @property
    def half_width(self) -> float:
        return (self.interval[1] - self.interval[0]) / 2

    def at(self, level: float) -> "Difference":
        """Return the same difference with its interval at another confidence level."""
        half = half_width(
            self.seed_variance, self.row_variance, self.n, self.units, level, self.looks
        )
        interval = (self.difference - float(half), self.difference + float(half))
        return self.model_copy(update={"interval": interval, "level": level})

    def projected(self, n: int, rows: int) -> "Difference":
        """Return what `n` seeds and `rows` test rows would give, were the estimates true."""
        seeds_by, rows_by = self.n / n, self.rows / rows
        own = max(self.seed_variance - self.shared_variance, 0.0)
        changes = {
            "n": n,
            "rows": rows,
            "units": max(2, round(self.units / rows_by)),
            "seed_variance": seeds_by * (own + self.shared_variance * rows_by),
            "row_variance": rows_by * self.row_variance,
            "shared_variance": seeds_by * rows_by * self.shared_variance,
        }
        return self.model_copy(update=changes).at(self.level)


def half_width(
    seed_variance: Floats | float,
    row_variance: Floats | float,
    n: int,
    units: int,
    level: float,
    looks: int = 1,
) -> Floats:
    """Return half the interval's width, of one difference or of an array of them.

        half² = t²(n - 1)·seed_variance + t²(units - 1)·row_variance

    A quantile for each part: with one look the coverage of such a sum is concave in either part's
    share of the variance and right at both ends, so nowhere below them; Satterthwaite's single t
    falls short with few seeds. Of several looks each has its share of the error rate for the seeds
    (Bonferroni). The test rows are the same at each look, so theirs is spent once: for normal
    parts, all looks together then miss 5.0 % at most for 3 and 8 seeds at 95 %, 5.4 % for 3 and 20.
    """
    error = (1 - level) / 2
    seed_t, row_t = stdtrit(n - 1, 1 - error / looks), stdtrit(units - 1, 1 - error)
    return np.sqrt(seed_t**2 * seed_variance + row_t**2 * row_variance)


def paired_difference(
    metric: Metric,
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
    level: float,
    seed: int = 0,
    looks: int = 1,
) -> Difference:
    """Return the mean over seeds of ours - theirs (turned where less is better), its interval.

    `ours[s]` and `theirs[s]` share a seed; all hold the same rows in the same order. The interval
    covers the draw of seeds (initial weights, order of the data, labels where they are drawn
    anew) and of test rows (`half_width`), over all `looks` looks together. Its seed variance is
    s²/S; its row variance is that of the mean difference in a paired bootstrap over units, less
    what falls with more seeds, which s² has already. For the bootstrap two discordant rows are
    added, one each way, so that it is never zero: see `guard`. Needs two seeds and two units at
    least; `seed` is the bootstrap's.
    """
    assert len(ours) == len(theirs) >= 2, f"pairs of two seeds or more: {len(ours)}, {len(theirs)}"
    _check_rows(metric, [*ours, *theirs])
    seeds, rows = len(ours), len(ours[0].target_N)
    difference_S = _differences(metric, ours, theirs, np.ones((1, rows)))[0]
    mean_variance, variance_S = _row_variances(metric, ours, theirs, seed)
    row_variance, shared_variance = split_row_variance(
        mean_variance, float(variance_S.mean()), seeds
    )
    return Difference(
        difference=float(difference_S.mean()),
        interval=(math.nan, math.nan),
        level=level,
        n=seeds,
        rows=rows,
        units=int(_units(ours[0]).max()) + 1,
        looks=looks,
        seed_variance=float(difference_S.var(ddof=1)) / seeds,
        row_variance=float(row_variance),
        shared_variance=float(shared_variance),
    ).at(level)


def split_row_variance(
    mean_variance: Floats | float, single_variance: Floats | float, seeds: int
) -> tuple[Floats, Floats]:
    """Split v, the variance over rows of the mean difference, into what rows alone make and what
    seeds make smaller too: with v₁ that of a single seed's difference, v = b + e/S and
    v₁ = b + e. At least v/S is left to the rows, for b is an estimate."""
    shared = np.maximum(0.0, (single_variance - mean_variance) / (seeds - 1))
    shared = np.minimum(shared, mean_variance * (1 - 1 / seeds))
    return mean_variance - shared, shared


def _check_rows(metric: Metric, runs: Sequence[Predictions]) -> None:
    first, targets = runs[0], _targets(metric, runs[0])
    for run in runs:
        same = np.array_equal(run.id_N, first.id_N) and np.array_equal(run.target_N, first.target_N)
        if not (same and np.array_equal(_targets(metric, run), targets)):
            raise DataError(
                "the test rows of retrained models must be the same, but differ; the test split "
                "changed while the study ran: start it anew"
            )
        assert len(run.id_N) == len(first.target_N), "a prediction a row"


def _targets(metric: Metric, run: Predictions) -> Floats:
    """Return what hangs on the targets alone, rows first."""
    if metric.all_right is None:
        return run.target_N
    return metric.all_right(run.given(metric.reads))


def _units(run: Predictions) -> Ints:
    if run.group_N is None:
        return np.arange(len(run.target_N))
    return np.unique(run.group_N, return_inverse=True)[1]


def _differences(
    metric: Metric, ours: Sequence[Predictions], theirs: Sequence[Predictions], weights_RN: Floats
) -> Floats:
    """Return (R, S) differences by weighting and seed, positive where ours is better."""

    def scores(runs: Sequence[Predictions]) -> Floats:
        scored = [metric.score(run.target_N, run.given(metric.reads), weights_RN) for run in runs]
        return np.stack(scored, axis=1)

    return metric.sign * (scores(ours) - scores(theirs))


def _row_variances(
    metric: Metric, ours: Sequence[Predictions], theirs: Sequence[Predictions], seed: int
) -> tuple[float, Floats]:
    """Return the variance over test rows of the mean difference, and of each seed's alone (S,)."""
    ours, theirs = with_discordant_rows(metric, ours, theirs, _units(ours[0]))
    unit_N = _units(ours[0])
    units = int(unit_N.max()) + 1
    exact = metric.row_score is not None
    moments = _exact_variances if exact else partial(_bootstrap_variances, seed=seed)
    mean_variance, variance_S = moments(metric, ours, theirs, unit_N)
    unbiased = units / (units - 1)
    return unbiased * mean_variance, unbiased * variance_S


def _exact_variances(
    metric: Metric, ours: Sequence[Predictions], theirs: Sequence[Predictions], unit_N: Ints
) -> tuple[float, Floats]:
    """The bootstrap's variance without its draws, for a mean of row scores: the sum over units of
    their squared deviations over N². Exact for units of one size, to first order otherwise."""
    assert metric.row_score is not None
    score = metric.row_score
    difference_SN = np.stack(
        [
            score(a.target_N, a.given(metric.reads)) - score(b.target_N, b.given(metric.reads))
            for a, b in zip(ours, theirs, strict=True)
        ]
    )
    deviation_SN = difference_SN - difference_SN.mean(axis=1, keepdims=True)
    unit_SU = np.stack([np.bincount(unit_N, row_N) for row_N in deviation_SN])
    rows = len(unit_N)
    mean_variance = float((unit_SU.mean(axis=0) ** 2).sum()) / rows**2
    return mean_variance, (unit_SU**2).sum(axis=1) / rows**2


def _bootstrap_variances(
    metric: Metric,
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
    unit_N: Ints,
    seed: int,
) -> tuple[float, Floats]:
    generator = np.random.default_rng(seed)
    units = int(unit_N.max()) + 1
    chunk = max(1, _CHUNK // len(unit_N))
    parts = []
    for start in range(0, DRAWS, chunk):
        draws = min(chunk, DRAWS - start)
        count_RU = generator.multinomial(units, np.full(units, 1 / units), size=draws)
        weights_RN = count_RU[:, unit_N].astype(np.float64)
        parts.append(_differences(metric, ours, theirs, weights_RN))
    difference_RS = np.concatenate(parts)
    return float(difference_RS.mean(axis=1).var()), difference_RS.var(axis=0)
