"""The verdict over all controls that transfer nothing."""

import pytest

from raytl.sweeping.verdict.decision import decide, open_comparisons, read_verdict
from raytl.sweeping.verdict.intervals import Difference


def difference(
    mean: float, half: float = 0.02, seeds: float = 0.5, shared: float = 0.0, n: int = 4
) -> Difference:
    """`seeds` of the squared half width at 95 % are the seeds', `shared` of that falls with rows
    too; 300 test rows."""
    unscaled = Difference(
        difference=mean, interval=(0, 0), level=0.95, n=n, rows=300, units=300, looks=1,
        seed_variance=1.0, row_variance=0.0, shared_variance=0.0,
    )  # fmt: skip
    seed_t = unscaled.at(0.95).half_width
    row_t = (
        unscaled.model_copy(update={"seed_variance": 0.0, "row_variance": 1.0}).at(0.95).half_width
    )
    seed_variance = seeds * (half / seed_t) ** 2
    parts = {
        "seed_variance": seed_variance,
        "row_variance": (1 - seeds) * (half / row_t) ** 2,
        "shared_variance": shared * seed_variance,
    }
    return unscaled.model_copy(update=parts).at(0.95)


def test_helps_must_beat_every_control() -> None:
    against = {"scratch": difference(0.1), "source_only": difference(0.03)}
    decision = decide(against, margin=0.01)
    assert (decision.kind, decision.control) == ("helps", "source_only")
    assert decision.difference == against["source_only"]
    assert decide(against | {"source_only": difference(0.019)}, 0.01).kind == "undecided"


def test_hurts_is_read_off_the_adjusted_interval() -> None:
    against = {"scratch": difference(0.1), "source_only": difference(-0.0205)}
    assert decide({"source_only": against["source_only"]}, 0.01).kind == "hurts"
    assert decide(against, 0.01).kind == "undecided"  # at 97.5 % zero is in it
    decision = decide(against | {"source_only": difference(-0.05)}, 0.01)
    assert (decision.kind, decision.control) == ("hurts", "source_only")
    assert decision.difference.level == pytest.approx(0.975)
    assert decision.difference.half_width > 0.02
    assert decision.difference.interval[1] < 0


def test_equivalent_where_what_is_not_beaten_is_within_the_margin() -> None:
    narrow, wider = difference(0.001, half=0.004), difference(-0.001, half=0.008)
    decision = decide({"scratch": narrow, "source_only": wider}, margin=0.01)
    assert (decision.kind, decision.control) == ("equivalent", "source_only")
    assert decide({"scratch": difference(0.1), "source_only": narrow}, 0.01).kind == "equivalent"
    assert decide({"scratch": narrow}, margin=0.001).kind == "undecided"


def test_undecided_names_the_control_that_is_least_beaten() -> None:
    against = {"scratch": difference(0.1), "source_only": difference(0.01)}
    decision = decide(against, margin=0.01)
    assert (decision.kind, decision.control) == ("undecided", "source_only")
    assert decision.difference == against["source_only"]
    assert open_comparisons(against, 0.01) == ["source_only"]


def test_fewest_seeds_and_rows_that_would_decide() -> None:
    against = {"scratch": difference(0.015, seeds=0.5)}
    decision = decide(against, margin=0.001)
    assert decision.seeds is not None and decision.rows is not None
    for n, rows, fewer_n, fewer_rows in (
        (decision.seeds, 300, decision.seeds - 1, 300),
        (4, decision.rows, 4, decision.rows - 1),
    ):
        assert against["scratch"].projected(n, rows).interval[0] > 0
        assert against["scratch"].projected(fewer_n, fewer_rows).interval[0] <= 0


def test_no_number_of_seeds_where_the_rows_bind() -> None:
    decision = decide({"scratch": difference(0.01, seeds=0.1)}, margin=0.001)
    assert decision.seeds is None
    assert decision.rows is not None


def test_no_number_of_rows_where_the_seeds_bind() -> None:
    decision = decide({"scratch": difference(0.01, seeds=0.9)}, margin=0.001)
    assert decision.rows is None
    assert decision.seeds is not None
    shared = decide({"scratch": difference(0.01, seeds=0.9, shared=0.95)}, margin=0.001)
    assert shared.rows is not None  # noise of seeds and rows falls with rows too


def test_a_margin_of_zero_is_never_reached() -> None:
    decision = decide({"scratch": difference(0.0)}, margin=0.0)
    assert (decision.kind, decision.seeds, decision.rows) == ("undecided", None, None)


def test_undecided_shows_what_is_open_and_off_which_interval() -> None:
    closed, still_open = difference(0.0, half=0.008), difference(0.012, half=0.0145)
    decision = decide({"source_only": closed, "scratch": still_open}, margin=0.01)
    assert (decision.kind, decision.control, decision.adjusted) == ("undecided", "scratch", False)
    below = {"scratch": difference(0.1), "source_only": difference(-0.0205)}
    decision = decide(below, margin=0.01)
    assert (decision.kind, decision.control, decision.adjusted) == (
        "undecided",
        "source_only",
        True,
    )
    low, high = decision.difference.interval
    assert low < 0 < high


def test_an_interval_that_is_no_number_decides_nothing() -> None:
    nan = difference(0.1).model_copy(update={"interval": (float("nan"), float("nan"))})
    assert open_comparisons({"scratch": nan}, 0.01) == ["scratch"]
    assert read_verdict({"scratch": nan}, 0.01).kind == "undecided"
