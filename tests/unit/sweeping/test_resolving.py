"""What a study leaves open is decided once, and what is to be said of it."""

from collections.abc import Callable

import pytest

from raytl.config import Study
from raytl.sweeping.resolving import resolved, spare_slots

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize(("trials", "lag"), [(1, 2), (16, 2), (24, 3), (64, 8), (500, 8)])
def test_the_lag_grows_with_the_trials_between_its_bounds(
    tiny_study: MakeStudy, trials: int, lag: int
) -> None:
    study = resolved(tiny_study(search={"trials": trials}), num_bytes=1)
    assert (study.search.parallel, study.train.feed) == (lag, "resident")


def test_what_a_study_says_itself_stays(tiny_study: MakeStudy) -> None:
    given = tiny_study(
        search={"trials": 64, "parallel": 3},
        train={"feed": "streaming", "epochs": 1, "batch_size": 4},
    )
    assert resolved(given, num_bytes=1) == given


def test_room_for_more_is_said_where_trials_wait(tiny_study: MakeStudy) -> None:
    tpe, grid = (
        resolved(tiny_study(search={"trials": 16, "sampler": name}), 1) for name in ("tpe", "grid")
    )
    assert spare_slots(tpe, 2) is None
    assert spare_slots(grid, 32) is None
    said = spare_slots(tpe, 32)
    assert said is not None
    assert said.startswith(
        "search.parallel: 2 searched trials run at once at most, and the cluster"
    )
    assert "has room for 32; a new run may raise it" in said
