"""How often the verdict's interval holds the truth, and how often a verdict is false.

A bank has 256 runs an arm and says which rows of a large pool each run answers rightly. Repeats
draw seeds (paired: one index for all arms) and test rows from it, with replacement, so the mean
over bank and pool is the truth exactly. Where the truth is to be zero, rows are taken out of the
pool until the arms' means agree.

Banks:
  synthetic  probit: row difficulty, an arm's own rows, a run's level, and noise of each run and row
  digits     linear heads on stored features of small networks trained on other digits; noise in
             the pixels and the number of classes set the accuracy (MNIST, or scikit-learn's
             digits without a folder)
  groups     synthetic, rows in groups of ten that share half of the difficulty; whole groups drawn

`rule` is the verdict as it is run: looks after 3 and 8 seeds, two controls, margin 1 point. Beside
each coverage stand naive (Student's paired t over seeds) and the median width in points.

    python benchmarks/coverage.py [--mnist data/mnist] [--repeats 10000]
    python benchmarks/coverage.py --metric auc --repeats 2000    (see metric_cells.py)
"""

import argparse
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import metric_cells
import numpy as np
from scipy.special import stdtrit

from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS
from raytl.sweeping.verdict.decision import open_comparisons, read_verdict
from raytl.sweeping.verdict.intervals import (
    Difference,
    half_width,
    paired_difference,
    split_row_variance,
)
from raytl.sweeping.verdict.looks import looks

RUNS, POOL, GROUP = 256, 20_000, 10
SEEDS, ROWS, ACCURACIES, LABELS = (3, 4, 8, 20), (100, 300, 1000), (0.6, 0.9, 0.99), ("all", "8")
LEVEL, BAR, FALSE_HELPS, MARGIN = 0.95, 0.94, 0.03, 0.01
# Pixel noise (standard deviation) and number of classes that give about ACCURACIES, by labels
DIFFICULTY = {
    "all": ((1.3, 10), (0.58, 10), (0.0, 5)),
    "8": ((1.0, 10), (0.45, 10), (0.0, 5)),
}


class Bank(NamedTuple):
    """Right answers (runs, pool rows) by arm: ours, two twins of about its accuracy, and
    another, in most banks a weaker one."""

    family: str
    labels: str
    arms: tuple[np.ndarray, ...]
    group: int = 1  # neighbouring pool rows that are drawn together


def synthetic(accuracy: float, labels: str, group: int, rng: np.random.Generator) -> Bank:
    run_sd, noise_sd = (0.02, 0.4) if labels == "all" else (0.12, 0.8)
    shared = 0.5 if group > 1 else 0.0

    def rows() -> np.ndarray:
        common = np.repeat(rng.standard_normal(POOL // group), group)
        return np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(POOL)

    difficulty, pair = rows(), rng.standard_normal((RUNS, 1))
    arms = []
    for target in (accuracy, accuracy, accuracy, accuracy - 0.3 * (1 - accuracy)):
        run = run_sd * (pair + rng.standard_normal((RUNS, 1)))
        noise = noise_sd * rng.standard_normal((RUNS, POOL), dtype=np.float32)
        logit = difficulty + 0.5 * rows() + run + noise
        arms.append((logit > np.quantile(logit[:, ::7], 1 - target)).astype(np.int8))
    return Bank("groups" if group > 1 else "synthetic", labels, tuple(arms), group)


def read_digits(mnist: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images (rows, 1, size, size) in 0..1 and their digits."""
    if mnist is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images[:, None].astype(np.float32) / 16, digits.target
    from raytl.data.importers.mnist import read_idx

    images = read_idx(mnist / "train-images-idx3-ubyte.gz")
    return images[:, None].astype(np.float32) / 255, read_idx(mnist / "train-labels-idx1-ubyte.gz")


def train_network(images: np.ndarray, digits: np.ndarray, seed: int, epochs: int) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(seed)
    kernel, stride = (3, 1) if images.shape[-1] < 16 else (5, 2)
    network = nn.Sequential(
        nn.Conv2d(1, 16, kernel, stride), nn.ReLU(), nn.Conv2d(16, 32, kernel, stride), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = torch.from_numpy(images), torch.from_numpy(digits.astype(np.int64))
    network(x[:2])
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network[:-1].eval()


def features(network: Any, images: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        parts = [network(torch.from_numpy(part)) for part in np.array_split(images, 20)]
    return np.concatenate([part.numpy() for part in parts])


def train_heads(x_ND: np.ndarray, y_N: np.ndarray, rows_RN: np.ndarray) -> Any:
    """Return (runs, features, 10) weights of softmax regressions by SGD; run r reads the rows
    rows_RN[r] in its own order, from its own first weights."""
    import torch

    torch.manual_seed(0)
    x, y = torch.from_numpy(x_ND), torch.from_numpy(y_N.astype(np.int64))
    runs, rows = rows_RN.shape
    weights = 0.1 * torch.randn(runs, x.shape[1], 10)
    batch, steps = min(64, rows), 150
    for step in range(steps):  # the rows are in random order
        first = step * batch % (rows - batch + 1)
        chosen = torch.from_numpy(rows_RN[:, first : first + batch])
        inputs = x[chosen]
        error = torch.softmax(inputs @ weights, dim=2)
        error.scatter_add_(2, y[chosen][:, :, None], torch.full((runs, batch, 1), -1.0))
        weights -= 0.3 * (1 - step / steps) / batch * inputs.transpose(1, 2) @ error
    return weights


def labelled_rows(y_N: np.ndarray, labels: str, rng: np.random.Generator) -> np.ndarray:
    """Return (runs, rows): all in an order of the run's own, or eight a class of its own."""
    orders = [rng.permutation(len(y_N)) for _ in range(RUNS)]
    if labels == "all":
        return np.stack(orders)
    few = int(labels)
    picked = [np.stack([order[y_N[order] == k][:few] for k in np.unique(y_N)]) for order in orders]
    return np.stack([rng.permutation(rows.ravel()) for rows in picked])


def digit_banks(mnist: Path | None, rng: np.random.Generator) -> Iterator[Bank]:
    images, digits = read_digits(mnist)
    order = rng.permutation(len(images))
    source, heads, pool = np.split(order, [len(order) // 2, len(order) * 2 // 3])
    epochs = max(2, 60_000 // len(source))
    networks = [train_network(images[source], digits[source], seed, epochs) for seed in range(3)]
    few = source[: len(source) // 10]
    networks.append(train_network(images[few], digits[few], 3, 2 * epochs))
    for labels in LABELS:
        for noise, classes in DIFFICULTY[labels]:
            noisy = images + noise * rng.standard_normal(images.shape, dtype=np.float32)
            own, test = (rows[digits[rows] < classes] for rows in (heads, pool))
            rows_RN = labelled_rows(digits[own], labels, rng)
            arms = []
            for network in networks:
                x, z = features(network, noisy[own]), features(network, noisy[test])
                scale, shift = 1 / (x.std(axis=0) + 1e-6), x.mean(axis=0)
                weights = train_heads((x - shift) * scale, digits[own], rows_RN).numpy()
                answers = np.stack([((z - shift) * scale @ w).argmax(axis=1) for w in weights])
                arms.append((answers == digits[test]).astype(np.int8))
            yield Bank("digits", labels, tuple(arms))


def balanced(differences: list[np.ndarray], group: int, rng: np.random.Generator) -> np.ndarray:
    """Return the pool rows that are left when, in random order, each group of rows whose loss
    brings the arms' means nearer to each other is taken out."""
    sums = np.stack([d.sum(axis=0, dtype=np.int64).reshape(-1, group).sum(1) for d in differences])
    left, total = np.ones(sums.shape[1], bool), sums.sum(axis=1)
    for place in rng.permutation(sums.shape[1]):
        without = total - sums[:, place]
        if np.abs(without).sum() < np.abs(total).sum():
            left[place], total = False, without
    return np.flatnonzero(np.repeat(left, group))


class Moments(NamedTuple):
    """Of each repeat: the difference, s²/S, and the rows' variance with the shared part."""

    difference: np.ndarray
    seed_variance: np.ndarray
    row_variance: np.ndarray
    shared_variance: np.ndarray


def moments(units_CSU: np.ndarray, group: int) -> Moments:
    """Return the same as `paired_difference` for many repeats (C), seeds (S) and units (U) of
    `group` rows, from the units' summed differences."""
    seeds, units = units_CSU.shape[1:]
    rows = units * group + 2  # two discordant rows, units of their own
    sums_CSU = units_CSU.astype(np.float32)

    def variance(sums: np.ndarray) -> np.ndarray:
        total = sums.sum(axis=-1, dtype=np.float64)
        squares = np.einsum("...u,...u->...", sums, sums, dtype=np.float64)
        mean = total / rows
        spread = squares - 2 * group * mean * total + (units * group**2 + 2) * mean**2 + 2
        return spread / rows**2 * (units + 2) / (units + 1)

    by_seed = sums_CSU.sum(axis=2, dtype=np.float64) / (units * group)
    row, shared = split_row_variance(
        variance(sums_CSU.mean(axis=1)), variance(sums_CSU).mean(axis=1), seeds
    )
    return Moments(by_seed.mean(axis=1), by_seed.var(axis=1, ddof=1) / seeds, row, shared)


class Draws:
    """Repeats from a bank: the same runs and rows for every pair of arms."""

    def __init__(self, pool: int, group: int, rng: np.random.Generator) -> None:
        self.groups, self.group, self.rng = pool // group, group, rng

    def chunks(self, repeats: int, seeds: int, rows: int) -> Iterator[tuple[Any, Any]]:
        units = rows // self.group
        for start in range(0, repeats, 200):
            size = min(200, repeats - start)
            runs = self.rng.integers(0, RUNS, (size, seeds, 1))
            yield runs, self.rng.integers(0, self.groups, (size, 1, units))


def by_unit(difference: np.ndarray, group: int) -> np.ndarray:
    summed = difference.reshape(RUNS, -1, group).sum(axis=2)
    return np.ascontiguousarray(summed.astype(np.int8))


def check(ours: np.ndarray, theirs: np.ndarray, group: int, moment: Moments, looks: int) -> None:
    """The vectorised sums are the shipped function's, here on the chunk's first repeat."""
    rows = np.arange(ours.shape[1])
    runs = [
        [
            Predictions(rows, np.ones_like(rows), row.astype(int), group_N=rows // group)
            for row in arm
        ]
        for arm in (ours, theirs)
    ]
    shipped = paired_difference(METRICS["accuracy"], runs[0], runs[1], LEVEL, looks=looks)
    own = build(moment, 0, len(ours), len(rows), len(rows) // group, looks)
    assert np.allclose(own.interval, shipped.interval, atol=1e-5), (own, shipped)


def build(moment: Moments, place: int, n: int, rows: int, units: int, looks: int) -> Difference:
    difference, seed, row, shared = (float(values[place]) for values in moment)
    return Difference(
        difference=difference, interval=(0.0, 0.0), level=LEVEL, n=n, rows=rows, units=units,
        looks=looks, seed_variance=seed, row_variance=row, shared_variance=shared,
    ).at(LEVEL)  # fmt: skip


def coverage_cells(bank: Bank, repeats: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Cells of one interval: a true zero against the first twin, and the other arm."""
    for null, other in ((True, 1), (False, 3)):
        ours, theirs = bank.arms[0], bank.arms[other]
        if null:
            left = balanced([ours - theirs], bank.group, rng)
            ours, theirs = ours[:, left], theirs[:, left]
        units = by_unit(ours - theirs, bank.group)
        about = {
            "part": "interval", "family": bank.family, "labels": bank.labels,
            "accuracy": ours.mean(), "truth": units.mean() / bank.group,
        }  # fmt: skip
        for seeds in SEEDS:
            for rows in ROWS:
                cell = one_interval(bank, units, (ours, theirs), seeds, rows, repeats, rng)
                yield about | {"seeds": seeds, "rows": rows} | cell


def one_interval(
    bank: Bank,
    units: np.ndarray,
    arms: tuple[np.ndarray, np.ndarray],
    seeds: int,
    rows: int,
    repeats: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    truth, held, naive, widths = units.mean() / bank.group, 0, 0, []
    draws = Draws(arms[0].shape[1], bank.group, rng)
    for place, (run, unit) in enumerate(draws.chunks(repeats, seeds, rows)):
        moment = moments(units[run, unit], bank.group)
        number = rows // bank.group
        half = half_width(moment.seed_variance, moment.row_variance, seeds, number, LEVEL)
        error = np.abs(moment.difference - truth) - 1e-9
        held += int((error <= half).sum())
        plain = stdtrit(seeds - 1, (1 + LEVEL) / 2) * np.sqrt(moment.seed_variance)
        naive += int((error <= plain).sum())
        widths.append(np.median(half))
        if place == 0:
            pool = (unit[0, 0][:, None] * bank.group + np.arange(bank.group)).ravel()
            ours, theirs = (arm[run[0], pool] for arm in arms)
            check(ours, theirs, bank.group, moment, looks=1)
    return {
        "coverage": held / repeats, "naive": naive / repeats, "width": float(np.median(widths)),
    }  # fmt: skip


def holds(difference: Difference, truth: float) -> bool:
    low, high = difference.interval
    return low - 1e-9 <= truth <= high + 1e-9


# Who is confirmed against which two controls: arms of a Bank
SCENARIOS = {"null": (0, 1, 2), "null and other": (0, 1, 3), "other": (3, 0, 1)}


def rule_cells(bank: Bank, repeats: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Cells of the rule as it is run, for each of SCENARIOS."""
    for name, (candidate, *controls) in SCENARIOS.items():
        differences = [bank.arms[candidate] - bank.arms[control] for control in controls]
        zero = {"null": differences, "null and other": differences[:1]}.get(name)
        if zero is not None:
            left = balanced(zero, bank.group, rng)
            differences = [d[:, left] for d in differences]
        units = [by_unit(d, bank.group) for d in differences]
        for rows in ROWS:
            yield {
                "part": "rule", "family": bank.family, "labels": bank.labels, "scenario": name,
                "accuracy": bank.arms[candidate].mean(), "rows": rows,
                "truth": [float(d.mean()) for d in units],
            } | one_rule(units, rows, repeats, rng)  # fmt: skip


def one_rule(
    units: list[np.ndarray], rows: int, repeats: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Two looks over two controls; a comparison that is decided gets no more seeds."""
    counts = looks(3, 8)
    truth = [float(d.mean()) for d in units]
    kinds: Counter[str] = Counter()
    held, shown, first = np.zeros(len(units), int), 0, 0
    for runs, unit in Draws(units[0].shape[1], 1, rng).chunks(repeats, counts[-1], rows):
        tables = [d[runs, unit] for d in units]
        seen = [[moments(table[:, :n], 1) for table in tables] for n in counts]
        for place in range(len(runs)):
            ends = {
                str(c): build(m, place, counts[0], rows, rows, len(counts))
                for c, m in enumerate(seen[0])
            }
            verdict = read_verdict(ends, MARGIN)
            first += verdict.kind != "undecided"
            if verdict.kind == "undecided":
                for c in open_comparisons(ends, MARGIN):
                    ends[c] = build(seen[1][int(c)], place, counts[1], rows, rows, len(counts))
                verdict = read_verdict(ends, MARGIN)
            kinds[verdict.kind] += 1
            held += [
                abs(d.difference - t) <= d.half_width + 1e-9
                for d, t in zip(ends.values(), truth, strict=True)
            ]
            d = verdict.difference
            shown += abs(d.difference - truth[int(verdict.control)]) <= d.half_width + 1e-9
    false = {
        "helps": min(truth) < 1e-4, "hurts": min(truth) > -1e-4,
        "equivalent": min(truth) < -MARGIN,
    }  # fmt: skip
    return {
        "coverage": float(held.min()) / repeats, "shown": shown / repeats, "first": first / repeats,
        "kinds": {kind: count / repeats for kind, count in sorted(kinds.items())},
        "false": {kind: kinds[kind] / repeats for kind, wrong in false.items() if wrong},
    }  # fmt: skip


def banks(mnist: Path | None, rng: np.random.Generator) -> Iterator[Bank]:
    for group in (1, GROUP):
        for accuracy in ACCURACIES:
            for labels in LABELS:
                yield synthetic(accuracy, labels, group, rng)
    yield from digit_banks(mnist, rng)


def line(cell: dict[str, Any]) -> str:
    about = f"{cell['part']:8} {cell['family']:9} labels {cell['labels']:3} {cell['accuracy']:6.1%}"
    low = " <<<" if cell["coverage"] < BAR else ""
    if cell["part"] == "interval":
        return (
            f"{about} truth {100 * cell['truth']:+5.2f} seeds {cell['seeds']:2} rows "
            f"{cell['rows']:4}: {cell['coverage']:6.2%} naive {cell['naive']:6.2%} "
            f"± {100 * cell['width']:5.2f}{low}"
        )
    many = " <<< helps" if cell["false"].get("helps", 0) > FALSE_HELPS else ""
    kinds = " ".join(f"{kind} {share:.2%}" for kind, share in cell["kinds"].items())
    return (
        f"{about} {cell['scenario']:15} rows {cell['rows']:4}: {cell['coverage']:6.2%} shown "
        f"{cell['shown']:6.2%} first look {cell['first']:4.0%}: {kinds}{low}{many}"
    )


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for part, family in sorted({(c["part"], c["family"]) for c in cells}):
        chosen = [c for c in cells if (c["part"], c["family"]) == (part, family)]
        own = {"cells": len(chosen), "coverage": min(c["coverage"] for c in chosen)}
        own["below_bar"] = sum(c["coverage"] < BAR for c in chosen)
        if part == "interval":
            own["naive"] = min(c["naive"] for c in chosen)
        else:
            own["shown"] = min(c["shown"] for c in chosen)
            for kind in ("helps", "hurts", "equivalent"):
                own[f"false_{kind}"] = max(c["false"].get(kind, 0.0) for c in chosen)
        figures[f"{part} {family}"] = own
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's four idx files")
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--metric", help="auc, rmse, …: cells of that metric alone")
    args = parser.parse_args()
    start, rng, cells = time.perf_counter(), np.random.default_rng(0), []
    if args.metric is not None:
        for cell in metric_cells.cells(args.metric, args.repeats, rng):
            print(metric_cells.line(cell), flush=True)
        return
    for bank in banks(args.mnist, rng):
        parts = [coverage_cells(bank, args.repeats, rng)]
        if bank.group == 1:
            parts.append(rule_cells(bank, args.repeats, rng))
        for part in parts:
            for cell in part:
                cells.append(cell)
                print(line(cell), flush=True)
    figures = summary(cells)
    for name, values in figures.items():
        print(f"{name}: {values}")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    seconds = time.perf_counter() - start
    print(
        json.dumps({"name": "coverage", "figures": figures, "seconds": seconds, "machine": machine})
    )


if __name__ == "__main__":
    main()
