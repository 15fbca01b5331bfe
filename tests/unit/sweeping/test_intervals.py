"""The interval over seeds and test rows: by hand, against the bootstrap and in simulation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from raytl.errors import DataError
from raytl.scoring.metrics import METRICS
from raytl.sweeping.verdict.intervals import Difference, Predictions, half_width, paired_difference
from raytl.sweeping.verdict.looks import looks

ACCURACY = METRICS["accuracy"]
BY_BOOTSTRAP = replace(ACCURACY, row_score=None)


def arm(right_SN: Sequence[Sequence[int]], group: Sequence[int] | None = None) -> list[Predictions]:
    """Runs that answer rightly where there is a one; two classes in turn."""
    rows = np.arange(len(right_SN[0]))
    target = rows % 2
    groups = None if group is None else np.array(group)
    return [
        Predictions(rows, target, np.where(np.array(right), target, 1 - target), group_N=groups)
        for right in right_SN
    ]


def drawn(seed: int, seeds: int, rows: int, size: int = 1) -> tuple[list[Predictions], ...]:
    """Two arms of 80 and 70 % whose rows share a difficulty, in groups of `size`."""
    generator = np.random.default_rng(seed)
    group = np.arange(rows) // size
    easy = generator.random(rows // size)[group]
    noise = 0.3 * generator.standard_normal((2, seeds, rows))
    return tuple(
        arm((easy + part < bar).tolist(), group.tolist())
        for part, bar in zip(noise, (0.8, 0.7), strict=True)
    )


def test_equal_differences_by_hand() -> None:
    ours, theirs = arm([[1, 1, 1, 1]] * 3), arm([[0, 1, 1, 1]] * 3)
    found = paired_difference(ACCURACY, ours, theirs, 0.95)
    # rows (1, 0, 0, 0) and the discordant two (1, -1): mean 1/6, squares 3 - 6/36 = 17/6,
    # over 6 · 5; t of 3 degrees of freedom at 97.5 % is 3.182446
    assert found.difference == 0.25
    assert found.seed_variance == found.shared_variance == 0.0
    assert found.row_variance == pytest.approx(17 / 6 / 30)
    assert found.half_width == pytest.approx(3.182446 * (17 / 180) ** 0.5, abs=1e-6)


def test_seeds_and_rows_by_hand() -> None:
    ours = arm([[1, 1, 1, 1], [1, 1, 1, 1]])
    theirs = arm([[0, 0, 1, 1], [0, 0, 0, 1]])
    found = paired_difference(ACCURACY, ours, theirs, 0.95)
    # by seed 1/2 and 3/4: s² = 1/32. Of the rows' mean (1, 1, .5, 0, 1, -1): 4.25 - 2.5²/6, over
    # 30; of each seed's: (4 - 2²/6 + 5 - 3²/6) / 2, over 30
    mean, single = (4.25 - 6.25 / 6) / 30, (9 - 13 / 6) / 60
    shared = single - mean
    assert found.difference == 0.625
    assert found.seed_variance == pytest.approx(1 / 64)
    assert found.shared_variance == pytest.approx(shared)
    assert found.row_variance == pytest.approx(mean - shared)
    half = (12.706205**2 / 64 + 3.182446**2 * (mean - shared)) ** 0.5
    assert found.interval == pytest.approx((0.625 - half, 0.625 + half), abs=1e-5)


def test_shared_part_is_the_two_way_residual() -> None:
    ours, theirs = drawn(0, seeds=4, rows=60)
    found = paired_difference(ACCURACY, ours, theirs, 0.95)
    d_SN = np.array(
        [
            (a.predicted_N == a.target_N).astype(float) - (b.predicted_N == b.target_N)
            for a, b in zip(ours, theirs, strict=True)
        ]
    )
    d_SN = np.concatenate([d_SN, np.tile([1.0, -1.0], (4, 1))], axis=1)
    residual = d_SN - d_SN.mean(0) - d_SN.mean(1, keepdims=True) + d_SN.mean()
    assert found.shared_variance == pytest.approx((residual**2).sum() / (3 * 61) / (4 * 62))


@pytest.mark.parametrize("size", [1, 5])
def test_closed_form_is_the_bootstrap(size: int) -> None:
    ours, theirs = drawn(1, seeds=3, rows=200, size=size)
    exact = paired_difference(ACCURACY, ours, theirs, 0.95)
    drawn_anew = paired_difference(BY_BOOTSTRAP, ours, theirs, 0.95)
    assert exact.units == 200 // size
    assert drawn_anew.difference == pytest.approx(exact.difference)
    for part in ("row_variance", "shared_variance"):
        assert getattr(drawn_anew, part) == pytest.approx(getattr(exact, part), rel=0.15)
    assert drawn_anew.half_width == pytest.approx(exact.half_width, rel=0.03)


BY_CLASSES = sorted(name for name, metric in METRICS.items() if metric.reads == "classes")


@pytest.mark.parametrize("name", BY_CLASSES)
@pytest.mark.parametrize("classes", [1, 2])
def test_equal_runs_leave_a_width(name: str, classes: int) -> None:
    rows = np.arange(50)
    run = Predictions(rows, rows % classes, rows % classes)
    found = paired_difference(METRICS[name], [run] * 3, [run] * 3, 0.95)
    assert found.difference == 0.0
    assert found.half_width > 0.02  # one row in 50


def test_groups_are_drawn_whole() -> None:
    ours, theirs = drawn(2, seeds=3, rows=200, size=10)
    alone = [[replace(run, group_N=None) for run in runs] for runs in (ours, theirs)]
    grouped = paired_difference(ACCURACY, ours, theirs, 0.95)
    assert grouped.units == 20
    assert grouped.row_variance > 1.5 * paired_difference(ACCURACY, *alone, 0.95).row_variance


def test_less_is_better_turns_the_sign() -> None:
    ours, theirs = drawn(3, seeds=3, rows=100)
    error = replace(
        ACCURACY,
        mode="min",
        score=lambda *given: 1 - ACCURACY.score(*given),
        row_score=lambda *given: 1 - METRICS["accuracy"].row_score(*given),
    )
    found = paired_difference(error, ours, theirs, 0.95)
    expected = paired_difference(ACCURACY, ours, theirs, 0.95)
    assert found.difference == pytest.approx(expected.difference)
    assert found.interval == pytest.approx(expected.interval)


def test_the_same_seed_draws_the_same_interval() -> None:
    ours, theirs = drawn(4, seeds=3, rows=50)
    first, second = (paired_difference(METRICS["macro_f1"], ours, theirs, 0.95) for _ in range(2))
    assert first == second
    assert first == Difference.model_validate_json(first.model_dump_json())


def test_runs_on_other_rows_are_refused() -> None:
    ours, theirs = drawn(5, seeds=3, rows=50)
    with pytest.raises(DataError, match="the test split changed while the study ran"):
        paired_difference(
            ACCURACY, ours, [replace(run, id_N=run.id_N[::-1]) for run in theirs], 0.95
        )
    with pytest.raises(AssertionError, match="pairs of two seeds"):
        paired_difference(ACCURACY, ours, theirs[:2], 0.95)


def test_projection_returns_to_itself_and_shrinks() -> None:
    found = paired_difference(ACCURACY, *drawn(6, seeds=3, rows=200), 0.95)
    assert found.projected(3, 200).interval == pytest.approx(found.interval)
    more_rows = found.projected(3, 2000)
    assert more_rows.row_variance == pytest.approx(found.row_variance / 10)
    assert more_rows.seed_variance >= found.seed_variance - found.shared_variance
    assert found.projected(6, 200).seed_variance == pytest.approx(found.seed_variance / 2)


def test_looks_are_two_at_most() -> None:
    assert looks(3, 8) == (3, 8)
    assert looks(4, 4) == (4,)


def test_no_looks_is_students_interval() -> None:
    values = np.array([0.1, 0.13, 0.08, 0.12])
    half = half_width(values.var(ddof=1) / 4, 0.0, n=4, units=100, level=0.95)
    low, high = stats.t.interval(0.95, 3, values.mean(), values.std(ddof=1) / 2)
    assert 2 * float(half) == pytest.approx(high - low)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_looks_together_cover_at_the_level(share: float) -> None:
    """Seeds and rows normal, the rows with `share` of the last look's variance."""
    generator, repeats, counts = np.random.default_rng(0), 40_000, looks(3, 8)
    rows = np.sqrt(share) * generator.standard_normal(repeats)
    seeds = np.sqrt((1 - share) * 8) * generator.standard_normal((repeats, 8))
    missed = np.zeros(repeats, bool)
    for n in counts:
        seed_variance = seeds[:, :n].var(axis=1, ddof=1) / n
        half = half_width(seed_variance, share, n, 10**6, 0.95, len(counts))
        missed |= np.abs(seeds[:, :n].mean(axis=1) + rows) > half
    assert missed.mean() < 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5


@pytest.mark.parametrize(
    ("name", "row", "other"),
    [
        ("miou", [3, 1, 1, 3], [4, 1, 1, 2]),  # the same answers to other masks
        ("map50", [*[-1] * 200, *[0] * 100, 1, 2], [*[-1] * 200, *[0] * 100, 2, 1]),
        ("bleu", [5] * 32, [5, 6, *[5] * 30]),
        ("steps_rmse", [1, 1, 2, 3], [1, 1, 2, 4]),
    ],
)
def test_runs_on_other_targets_are_refused_of_answers_that_are_not_kept(
    name: str, row: list[float], other: list[float]
) -> None:
    def run(*rows: list[float]) -> Predictions:
        return Predictions(
            np.arange(3), np.zeros(3, np.int64), None, statistics_NM=np.array(rows, float)
        )

    same, changed = run(row, row, row), run(row, other, row)
    paired_difference(METRICS[name], [same] * 2, [same] * 2, 0.95)
    with pytest.raises(DataError, match="the test split changed while the study ran"):
        paired_difference(METRICS[name], [same] * 2, [same, changed], 0.95)
