"""Rungs: who is compared with whom, and who goes, whatever came when."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

import pytest

from raytl.config import Study
from raytl.sweeping.search.halving import (
    Curve,
    Everyone,
    Halving,
    Ladder,
    Median,
    Rule,
    Tries,
    rule_of,
)

NAN = math.nan
EPOCHS = 8


def flat(value: float, epochs: int = EPOCHS) -> Curve:
    return dict.fromkeys(range(1, epochs + 1), value)


def curve(*values: float) -> Curve:
    return dict(enumerate(values, start=1))


def play(rule: Rule, curves: Sequence[Curve], order: Sequence[int]) -> list[int]:
    """Let the trials report one epoch each as `order` names them; return how many each has run,
    stopped as soon as it is known that it is cut, and ended after its curve."""
    ladder = Ladder(rule)
    places, ran = [ladder.add() for _ in curves], [0] * len(curves)
    for place in order:
        if ladder.cut(place) is None and ran[place] < len(curves[place]):
            ran[place] += 1
            ladder.report(place, ran[place], curves[place][ran[place]])
            if ladder.cut(place) is not None or ran[place] == len(curves[place]):
                ladder.end(place)
    assert all(ladder.settled(place) for place in places)
    return ran


def in_turn(rule: Rule, curves: Sequence[Curve]) -> list[int]:
    """Let the trials run one after another; return how many epochs each has run."""
    return play(rule, curves, [place for place, own in enumerate(curves) for _ in own])


@pytest.mark.parametrize(
    ("epochs", "halving", "median"),
    [
        (1, (), ()),
        (2, (1,), (1,)),
        (4, (1, 3), (1, 2, 3)),
        (6, (1, 3), (1, 2, 3, 4, 5)),  # the third would be after nine
        (8, (2, 6), (2, 3, 4, 5, 6, 7)),
        (40, (10, 30), tuple(range(10, 40))),
    ],
)
def test_rungs_begin_at_a_quarter_and_end_before_the_last_epoch(
    epochs: int, halving: tuple[int, ...], median: tuple[int, ...]
) -> None:
    assert Halving.of(epochs).rungs == halving
    assert Median.of(epochs).rungs == median


@pytest.mark.parametrize(
    ("epochs", "tries", "most"),
    [
        (8, 3, {2: 2, 4: 1}),
        (8, 1, {2: 1, 4: 1}),
        (10, 6, {3: 4, 5: 2}),
        (2, 3, {1: 1}),  # both rungs are one
        (1, 3, {}),
    ],
)
def test_a_third_of_the_tries_goes_then_half_of_them(
    epochs: int, tries: int, most: Mapping[int, int]
) -> None:
    assert Tries.of(epochs, tries).most == most


@pytest.mark.parametrize(
    ("scheduler", "rule"),
    [("asha", Halving((2, 6))), ("median", Median((2, 3, 4, 5, 6, 7))), ("none", Everyone())],
)
def test_a_studys_rule(tiny_study: Callable[..., Study], scheduler: str, rule: Rule) -> None:
    study = tiny_study(search={"scheduler": scheduler}, train={"epochs": EPOCHS, "batch_size": 8})
    assert rule_of(study) == rule


@pytest.mark.parametrize(
    ("own", "rivals", "stays"),
    [
        (0.0, [], True),
        (0.8, [0.8], True),  # ties stay
        (0.9, [0.9] * 7, True),
        (0.79, [0.8], False),
        (0.61, [0.2, 0.8], True),  # two thirds of the way between them: 0.6
        (0.59, [0.2, 0.8], False),
        (3.0, [4.0, 1.0, 3.0, 2.0], True),
        (2.9, [4.0, 1.0, 3.0, 2.0], False),
        (-0.3, [-0.2, -0.3, -0.4, -0.5], True),  # losses
        (NAN, [0.1], False),
        (NAN, [], True),
        (NAN, [NAN], True),
        (0.0, [NAN, NAN], True),
        (0.79, [NAN, 0.8, NAN], False),
    ],
)
def test_halving_keeps_the_best_third_of_those_before(
    own: float, rivals: list[float], stays: bool
) -> None:
    assert Halving((2,)).stays(2, curve(9.0, own), [curve(0.0, r) for r in rivals]) == stays


RIVALS = [flat(value) for value in (0.1, 0.4, 0.2, 0.3)]  # the median of whose means is 0.25


@pytest.mark.parametrize(
    ("own", "rivals", "stays"),
    [
        (curve(0.0, 0.25), RIVALS, True),
        (curve(0.2, 0.24), RIVALS, False),
        (curve(0.3, 0.0), RIVALS, True),  # it has been as good once
        (curve(0.0, 0.0, 0.9), RIVALS, False),  # what comes later does not count
        (curve(0.0, 0.0), RIVALS[:3], True),  # too few rivals
        (curve(0.4, 0.4), [curve(0.0, 1.0, 9.0, 9.0)] * 4, False),  # of means: 0.5
        (curve(0.5, 0.5), [curve(0.0, 1.0, 9.0, 9.0)] * 4, True),
        (curve(NAN, 0.25), RIVALS, True),
        (curve(0.24, NAN), RIVALS, False),
        (curve(NAN, NAN), RIVALS, False),
        (curve(0.0, 0.2), [*RIVALS[:3], curve(NAN, 9.0)], True),  # of three means: 0.2
        (curve(0.0, 0.19), [*RIVALS[:3], curve(NAN, 9.0)], False),
    ],
)
def test_the_median_rule_keeps_who_was_as_good_as_the_median_of_means(
    own: Curve, rivals: list[Curve], stays: bool
) -> None:
    assert Median((2,)).stays(2, own, rivals) == stays


def test_the_median_of_no_numbers_stops_nobody() -> None:
    assert Median((2,)).stays(2, flat(0.1), [flat(NAN)] * 4)


def test_ties_stay_under_the_median_rule() -> None:
    assert Median((7,)).stays(7, flat(0.9), [flat(0.9)] * 4)


@pytest.mark.parametrize(
    ("own", "rivals", "stays"),
    [
        (0.5, [0.9], True),
        (0.5, [0.9, 0.9], False),
        (0.5, [0.9, 0.54, 0.54], True),  # who is so little better is no better
        (0.5, [0.9, 0.54, 0.56], False),
        (0.5, [0.9, NAN, NAN], True),
        (NAN, [-9.0, -9.0], False),
        (NAN, [NAN, NAN], True),
    ],
)
def test_a_try_goes_where_so_many_before_it_were_clearly_better(
    own: float, rivals: list[float], stays: bool
) -> None:
    rule = Tries({2: 2})
    assert rule.stays(2, curve(0.0, own), [curve(0.0, r) for r in rivals]) == stays


def test_without_a_scheduler_everything_runs_whole() -> None:
    assert in_turn(Everyone(), [flat(0.9), flat(0.1), flat(NAN)]) == [EPOCHS] * 3


@pytest.mark.parametrize(
    ("values", "ran"),
    [
        ([0.9, 0.7, 0.5], [8, 4, 2]),
        ([0.5, 0.7, 0.9], [8, 8, 8]),  # each is the best of those before
        ([0.9, 0.5, 0.7], [8, 4, 4]),
        ([0.5, 0.5, 0.5], [8, 8, 8]),
        ([NAN, 0.1, NAN], [8, 8, 4]),
        ([0.1], [8]),
    ],
)
def test_how_far_tries_run(values: list[float], ran: list[int]) -> None:
    assert in_turn(Tries.of(EPOCHS, 3), [flat(value) for value in values]) == ran


def test_the_best_at_the_last_rung_runs_whole_in_whatever_order_tries_stand() -> None:
    curves = {"best at first": curve(*[0.9] * 2, *[0.5] * 6), "best": flat(0.8), "bad": flat(0.1)}
    for names in permutations(curves):
        ran = in_turn(Tries.of(EPOCHS, 3), [curves[name] for name in names])
        assert ran[names.index("best")] == EPOCHS


@pytest.mark.parametrize(
    ("rule", "cut"), [(Halving.of(EPOCHS), [2, 6]), (Median.of(EPOCHS), [2, 5])]
)
def test_rungs_do_not_apply_to_a_trial_before_it_is_judged(rule: Rule, cut: list[int]) -> None:
    ladder = Ladder(rule)
    places = [ladder.add() for _ in range(5)] + [ladder.add(), ladder.add(judged_after=4)]
    for place, value in zip(places, [0.75] * 5 + [0.1] * 2, strict=True):
        for epoch in range(1, EPOCHS + 1):
            ladder.report(place, epoch, value)
        ladder.end(place)
    assert [ladder.cut(place) for place in places] == [None] * 5 + cut


def test_a_late_judged_trial_is_nobodys_rival_before() -> None:
    ladder = Ladder(Halving.of(EPOCHS))
    late, bad = ladder.add(judged_after=2), ladder.add()
    ladder.report(bad, 1, 0.5)
    ladder.report(bad, 2, 0.5)
    ladder.end(bad)
    assert ladder.cut(bad) is None and ladder.settled(bad)
    assert not ladder.settled(late)


def test_a_decision_waits_for_those_before_and_cuts_what_was_trained_beyond() -> None:
    ladder = Ladder(Halving.of(EPOCHS))
    slow, fast = ladder.add(), ladder.add()
    for epoch in range(1, 6):
        ladder.report(fast, epoch, 0.5)
    ladder.report(slow, 1, 0.9)
    assert ladder.cut(fast) is None and not ladder.settled(fast)
    ladder.report(slow, 2, 0.9)
    assert ladder.cut(fast) == 2 and ladder.settled(fast)
    assert ladder.cut(slow) is None and not ladder.settled(slow)


def test_nobody_waits_for_those_after() -> None:
    ladder = Ladder(Halving.of(EPOCHS))
    first, other = ladder.add(), ladder.add()
    for epoch in range(1, EPOCHS + 1):
        ladder.report(other, epoch, 0.9)
    for epoch in range(1, EPOCHS + 1):
        ladder.report(first, epoch, 0.1)
    ladder.end(first)
    assert ladder.cut(first) is None and ladder.settled(first)
    assert not ladder.settled(other)  # it has not been said that it has ended


def test_who_ended_before_a_rung_is_no_rival_there() -> None:
    ladder = Ladder(Halving.of(EPOCHS))
    failed, other = ladder.add(), ladder.add()
    ladder.report(failed, 1, 0.9)
    for epoch in (1, 2):
        ladder.report(other, epoch, 0.1)
    ladder.end(other)
    assert not ladder.settled(other)
    ladder.end(failed)
    assert ladder.settled(failed) and ladder.settled(other)
    assert ladder.cut(failed) is None and ladder.cut(other) is None


def test_who_is_cut_at_a_rung_is_a_rival_there_and_at_no_later_one() -> None:
    """The second is cut at 2 and trains on all the same; the third is as good as it at 2, and at 6
    the second's 0.9 would cut it."""
    ladder = Ladder(Halving((2, 6)))
    curves = [flat(0.5), curve(0.4, 0.4, *[0.9] * 6), curve(*[0.47] * 2, *[0.5] * 6)]
    places = [ladder.add() for _ in curves]
    for place, own in zip(places, curves, strict=True):
        for epoch, value in own.items():
            ladder.report(place, epoch, value)
        ladder.end(place)
    # At 2 the third must reach 0.4 + 2/3 · 0.1
    assert [ladder.cut(place) for place in places] == [None, 2, None]


@dataclass(frozen=True)
class Trial:
    """What would become of a trial that is never stopped. A failed one has a shorter curve."""

    curve: Curve
    judged_after: int
    obeys: bool  # whether it ends where it is known to be cut


def decided(rule: Rule, trials: Sequence[Trial]) -> list[int | None]:
    """Return after which epoch each is cut, by all curves whole, trial by trial in their order."""
    cuts: list[int | None] = []
    for number, own in enumerate(trials):
        cut = None
        for rung in rule.rungs:
            if rung <= own.judged_after or rung not in own.curve:
                continue
            rivals = [
                rival.curve
                for rival, end in zip(trials[:number], cuts, strict=True)
                if rung in rival.curve and rung > rival.judged_after and (end or EPOCHS) >= rung
            ]
            if not rule.stays(rung, own.curve, rivals):
                cut = rung
                break
        cuts.append(cut)
    return cuts


def drawn(random: Random, count: int) -> list[Trial]:
    def trial() -> Trial:
        epochs = EPOCHS if random.random() < 0.75 else random.randrange(EPOCHS)
        level = random.random()
        values = [
            NAN if random.random() < 0.05 else round(random.gauss(level, 0.1), 2)
            for _ in range(epochs)
        ]
        return Trial(curve(*values), random.choice([0, 0, 0, 2, 4]), random.random() < 0.5)

    return [trial() for _ in range(count)]


def interleaved(
    rule: Rule, trials: Sequence[Trial], expected: Sequence[int | None], random: Random
) -> Ladder:
    """Add the trials in their order and let them report and end in a random one; look at some of
    them meanwhile: what is known once is right."""
    ladder = Ladder(rule)
    ran: dict[int, int] = {}  # of those that have not ended
    ended: set[int] = set()
    while len(ended) < len(trials):
        added = len(ran) + len(ended)
        if added < len(trials) and (not ran or random.random() < 0.3):
            ran[ladder.add(trials[added].judged_after)] = 0
            continue
        place = random.choice(list(ran))
        trial, epoch = trials[place], ran[place]
        if epoch == len(trial.curve) or (trial.obeys and ladder.cut(place) is not None):
            ladder.end(place)
            ended.add(place)
            del ran[place]
        else:
            ran[place] += 1
            ladder.report(place, epoch + 1, trial.curve[epoch + 1])
        look = random.randrange(len(ran) + len(ended))
        cut = ladder.cut(look)
        assert cut is None or cut == expected[look]
        assert not ladder.settled(look) or cut == expected[look]
        before = range(next(n for n in range(len(trials) + 1) if n not in ended))
        assert all(ladder.settled(n) for n in before)
    return ladder


@pytest.mark.parametrize(
    "rule", [Halving.of(EPOCHS), Median.of(EPOCHS), Tries.of(EPOCHS, 3)], ids=type
)
def test_decisions_hang_on_the_curves_alone(rule: Rule) -> None:
    random = Random(1)
    cut = 0
    for _ in range(8):
        trials = drawn(random, 12)
        expected = decided(rule, trials)
        cut += sum(end is not None for end in expected)
        for _ in range(25):
            ladder = interleaved(rule, trials, expected, random)
            assert [ladder.cut(place) for place in range(12)] == expected
            assert all(ladder.settled(place) for place in range(12))
    assert 8 < cut < 8 * 11  # some, not all
