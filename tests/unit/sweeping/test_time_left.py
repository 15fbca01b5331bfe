"""How long a study has yet to go."""

import pytest

from raytl.sweeping.time_left import Phase, duration, left_text, seconds_left

NOTHING = {"search": Phase(), "controls": Phase(), "confirm": Phase()}


def test_what_is_left_takes_as_long_as_what_ended() -> None:
    phases = {
        "search": Phase(done=2, of=5, seconds=(10.0, 20.0)),
        "controls": Phase(done=1, of=3, seconds=(40.0,)),
        "confirm": Phase(done=0, of=2),  # each as long as all on average: 70 / 3 s
    }
    assert seconds_left(phases, [], 1) == pytest.approx(3 * 15 + 2 * 40 + 2 * 70 / 3)
    assert seconds_left(phases, [], 2) == pytest.approx((3 * 15 + 2 * 40 + 2 * 70 / 3) / 2)
    begun = [("search", 5.0), ("controls", 400.0)]  # one that takes longer is done any moment
    assert seconds_left(phases, begun, 1) == pytest.approx(2 * 15 + 10 + 40 + 2 * 70 / 3)


def test_nothing_is_said_before_a_trial_was_timed() -> None:
    phases = NOTHING | {"search": Phase(done=3, of=5)}  # recalled, not trained
    assert seconds_left(phases, [("search", 9.0)], 2) is None
    assert left_text(phases, None, further=False) == "not known before the first trial has ended"


def test_what_is_not_known_of_yet_comes_on_top() -> None:
    searching = NOTHING | {"controls": Phase(done=1, of=2)}
    confirming = NOTHING | {"search": Phase(2, 2), "confirm": Phase(1, 4)}
    end = "and the best are confirmed after the search"
    assert left_text(searching, 600.0, further=True) == f"at least 10 min, {end}"
    more = "at least 10 min; more seeds while the verdict is open"
    assert left_text(confirming, 600.0, further=True) == more
    assert left_text(confirming, 600.0, further=False) == "about 10 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "5 s"), (12.0, "10 s"), (13.0, "15 s"), (89.0, "90 s"), (90.0, "2 min"),
     (600.0, "10 min"), (5399.0, "90 min"), (5400.0, "1 h 30 min"), (36000.0, "10 h 0 min")],
)  # fmt: skip
def test_a_duration_is_rounded(seconds: float, text: str) -> None:
    assert duration(seconds) == text
