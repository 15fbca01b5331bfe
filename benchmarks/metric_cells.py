"""Coverage of the verdict's interval for metrics of probabilities and values, for `coverage.py`.

A bank has 64 runs an arm on a pool of rows. Of probabilities (two classes, of equal size or one of
ten rows positive) and of values (normal errors, or Student's with 5 degrees of freedom) the bank is
synthetic: what a row is like, what an arm makes of it, a run's level, and noise of each run and
row. A repeat draws seeds (paired: one index for both arms) and test rows with replacement and calls
`paired_difference` as it is, but with 300 bootstrap draws; the truth is the mean of the runs'
differences on the whole pool. Arms: a twin, whose true difference is next to nothing; another that
is worse; and ours against itself, where the interval must have a width.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS, Metric
from raytl.sweeping.verdict import intervals

RUNS, POOL, DRAWS, LEVEL = 64, 20_000, 300, 0.95
SEEDS, ROWS, SHARES, TAILS = (3, 8), (100, 300), (0.5, 0.1), (1e6, 5.0)


class Bank(NamedTuple):
    """Targets (rows,), and of each arm what it says, (runs, rows)."""

    kind: str
    target_N: np.ndarray
    arms: dict[str, np.ndarray]


def values_bank(tails: float, rng: np.random.Generator) -> Bank:
    """Residuals of a row that both arms share, of the arm, and of the run. `tails`: degrees of
    freedom of the first two."""
    target_N, shared_N = rng.standard_normal(POOL), 0.4 * rng.standard_t(tails, POOL)

    def arm(size: float) -> np.ndarray:
        own_N = size * rng.standard_t(tails, POOL)
        level = 0.05 * rng.standard_normal((RUNS, 1))
        return target_N + shared_N + own_N + level + 0.2 * rng.standard_normal((RUNS, POOL))

    kind = "values" if tails > 100 else "values, large errors"
    return Bank(kind, target_N, {"ours": arm(0.3), "twin": arm(0.3), "other": arm(0.5)})


def classes_bank(share: float, rng: np.random.Generator) -> Bank:
    """Logits of two classes, `share` of the rows positive."""
    target_N = (rng.random(POOL) < share).astype(np.int64)
    shared_N = rng.standard_normal(POOL)

    def arm(signal: float) -> np.ndarray:
        sides_N = signal * (2 * target_N - 1) + np.log(share / (1 - share))
        level = 0.1 * rng.standard_normal((RUNS, 1))
        noise = 0.6 * rng.standard_normal((RUNS, POOL))
        logits = sides_N + shared_N + 0.6 * rng.standard_normal(POOL) + level + noise
        return 1 / (1 + np.exp(-logits))

    return Bank(f"{share:.0%} positive", target_N, {n: arm(s) for n, s in SIGNALS.items()})


SIGNALS = {"ours": 1.2, "twin": 1.2, "other": 1.0}


def predictions(bank: Bank, said_N: np.ndarray, rows: np.ndarray) -> Predictions:
    target_N, ids = bank.target_N[rows], np.arange(len(rows))
    if bank.kind.startswith("values"):
        return Predictions(ids, target_N, said_N[rows])
    p_NK = np.stack([1 - said_N[rows], said_N[rows]], axis=1)
    return Predictions(ids, target_N, p_NK.argmax(axis=1), p_NK)


def cells(name: str, repeats: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield a cell for each bank, pair of arms, number of seeds and of rows."""
    metric = METRICS[name]
    intervals.DRAWS = DRAWS
    values = metric.reads == "values"
    of_values = (values_bank(tails, rng) for tails in TAILS)
    banks = of_values if values else (classes_bank(share, rng) for share in SHARES)
    for bank in banks:
        whole = np.arange(POOL)
        scores = {
            arm: np.mean([score(metric, predictions(bank, run, whole)) for run in runs])
            for arm, runs in bank.arms.items()
        }
        for other in ("twin", "other"):
            truth = float(metric.sign * (scores["ours"] - scores[other]))
            for seeds in SEEDS:
                for rows in ROWS:
                    cell = one_cell(metric, bank, other, truth, seeds, rows, repeats, rng)
                    yield {
                        "part": "interval", "family": f"{name} {bank.kind}", "truth": truth,
                        "other": other, "seeds": seeds, "rows": rows,
                    } | cell  # fmt: skip


def score(metric: Metric, run: Predictions) -> float:
    return metric.plain(run.target_N, run.given(metric.reads))


def one_cell(
    metric: Metric,
    bank: Bank,
    other: str,
    truth: float,
    seeds: int,
    rows: int,
    repeats: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    held, widths, alike = 0, [], []
    for repeat in range(repeats):
        runs, drawn = rng.integers(0, RUNS, seeds), rng.integers(0, POOL, rows)
        ours, theirs = (
            [predictions(bank, bank.arms[arm][run], drawn) for run in runs]
            for arm in ("ours", other)
        )
        found = intervals.paired_difference(metric, ours, theirs, LEVEL, seed=repeat)
        held += abs(found.difference - truth) <= found.half_width
        widths.append(found.half_width)
        if repeat < 20:
            same = intervals.paired_difference(metric, ours, ours, LEVEL, seed=repeat)
            alike.append(same.half_width)
    return {
        "coverage": held / repeats, "width": float(np.median(widths)),
        "alike": float(np.median(alike)),
    }  # fmt: skip


def line(cell: dict[str, Any]) -> str:
    return (
        f"{cell['family']:22} {cell['other']:5} truth {cell['truth']:+.4f} seeds {cell['seeds']} "
        f"rows {cell['rows']:3}: {cell['coverage']:6.2%} ± {cell['width']:.4f}, "
        f"± {cell['alike']:.4f} where all rows agree"
    )
