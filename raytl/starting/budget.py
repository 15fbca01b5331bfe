"""How many trials, epochs and seeds fit into the minutes that are given."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from raytl.config import TrialConfig
from raytl.recipes import RECIPES
from raytl.sweeping.effort import BACKWARD
from raytl.sweeping.resolving import lag_of

# Seconds that are spent whatever is trained: Ray's start and the report; between trials; a step's
# own, beside the network
START, BETWEEN, STEP = 30.0, 0.6, 0.002
STOPPED_EARLY = 0.6  # of what searched trials would take, with successive halving
FILL = 0.85  # of the minutes: what is reckoned is off by as much
MOST_EPOCHS = 20


@dataclass(frozen=True)
class Level:
    """A size of study. `passes`: over the longest stream, by each training, but for the fewest and
    most `steps`."""

    trials: int
    passes: int
    steps: tuple[int, int]
    tries: int
    top: int
    seeds: tuple[int, int]


LEVELS = (
    Level(48, 30, (300, 4000), 3, 3, (3, 8)),
    Level(32, 20, (300, 3000), 3, 3, (3, 8)),
    Level(24, 15, (200, 2000), 3, 2, (3, 8)),
    Level(16, 12, (200, 1500), 3, 2, (3, 5)),
    Level(12, 10, (150, 1000), 2, 1, (3, 5)),
    Level(10, 8, (100, 600), 2, 1, (3, 5)),
    Level(8, 5, (80, 300), 1, 1, (3, 3)),
    Level(6, 3, (60, 150), 1, 1, (3, 3)),
    Level(4, 2, (40, 60), 1, 1, (3, 3)),
)
MORE = 2  # trials by which a level's are raised while the minutes allow
GOOD = 5  # the last level that is worth a larger input


@dataclass(frozen=True)
class Work:
    """What trials have to do. `step_row`: seconds of a training step for a row, by source model;
    `stream`: rows of the longest stream; `streams`: how many are read in a step; `rows`: of all
    splits; `judged`: validation rows, read after each epoch; `tested`: test rows, read by each
    retraining; `slots`: trials at once."""

    step_row: Mapping[str, float]
    stream: int
    streams: int
    batch: int
    rows: int
    judged: int
    tested: int
    slots: int
    minutes: float


@dataclass(frozen=True)
class Budget:
    """The numbers of a study, and how many `minutes` they are reckoned to take. `index`: of its
    level among LEVELS, of which the first one is the most generous."""

    level: Level
    index: int
    epochs: int
    steps_per_epoch: int | None
    depths: tuple[str, ...]
    minutes: float


DEPTHS = (("0%", "50%", "100%"), ("50%", "100%"), ("100%",))


def budget_for(
    work: Work,
    controls: Sequence[tuple[str, TrialConfig]],
    pretrained: Sequence[str],
    fresh: Sequence[str],
) -> Budget:
    """Return the most generous budget that fits, or the least where none does: rather fewer trials
    than one frozen depth alone, where they are still enough. `controls`: as the study has them with
    one try each; `pretrained` and `fresh`: its source models."""
    every = DEPTHS if pretrained else (("0%",),)
    worth = [
        (level, depths) for level in LEVELS[: GOOD + 1] for depths in every if _several(depths)
    ]
    sizes = [*worth, *((level, depths) for level in LEVELS for depths in every)]
    for level, depths in sizes:
        found = _sized(work, level, depths, controls, pretrained, fresh)
        if found.minutes <= FILL * work.minutes:
            break
    most = LEVELS[max(0, found.index - 1)].trials
    while found.level.trials + MORE <= most:  # what is left goes to the search
        level = replace(found.level, trials=found.level.trials + MORE)
        larger = _sized(work, level, found.depths, controls, pretrained, fresh)
        if larger.minutes > FILL * work.minutes:
            break
        found = larger
    return found


def _several(depths: tuple[str, ...]) -> bool:
    """Whether there is a choice of depths, or nothing to freeze."""
    return len(depths) > 1 or depths == ("0%",)


def _sized(
    work: Work,
    level: Level,
    depths: tuple[str, ...],
    controls: Sequence[tuple[str, TrialConfig]],
    pretrained: Sequence[str],
    fresh: Sequence[str],
) -> Budget:
    natural = math.ceil(work.stream / work.batch)
    low, high = level.steps
    steps = max(low, min(high, level.passes * natural))
    epochs = max(2, min(MOST_EPOCHS, level.passes, steps))
    per_epoch = math.ceil(steps / epochs)
    steps = epochs * per_epoch

    def seconds(model: str, trained: float, tested: int) -> float:
        train = steps * (work.batch * work.streams * work.step_row[model] * trained + STEP)
        judging = (epochs * work.judged + tested) * work.step_row[model] * trained / BACKWARD
        return train + judging + BETWEEN

    searched = [(name, _trained(depth)) for name in pretrained for depth in depths]
    searched += [(name, 1.0) for name in fresh]
    compared = [(trial.source_model, _share(trial)) for _, trial in controls]
    frozen = len([depth for depth in depths if depth != "0%"])
    prefixes = sum(frozen * work.rows * work.step_row[n] / BACKWARD for n in pretrained)
    tried, tried_again = ([seconds(*of, n) for of in compared] for n in (0, work.tested))
    mean, mean_again = (fmean(seconds(*of, n) for of in searched) for n in (0, work.tested))
    least, most = level.seeds
    search = STOPPED_EARLY * level.trials * mean
    total = level.tries * sum(tried) + search + prefixes
    total += least * (sum(tried_again) + level.top * mean_again)
    total += (most - least) * (max(tried_again) + mean_again)
    # However many slots there are: so many searched trials at once, and each control's tries, first
    # round and further rounds one after the other
    rounds = 1 + (most > least)
    longest = max(
        total / work.slots,
        prefixes + search / min(work.slots, lag_of(level.trials)),
        max(tried) + rounds * max(tried_again),
    )
    index = next(n for n, of in enumerate(LEVELS) if of.passes == level.passes)
    return Budget(
        level, index, epochs, None if per_epoch == natural else per_epoch, depths,
        (START + longest) / 60,
    )  # fmt: skip


def _trained(depth: str) -> float:
    return 1 - float(depth.removesuffix("%")) / 100


def _share(trial: TrialConfig) -> float:
    """Return which share of a network a control trains."""
    recipe = RECIPES[trial.recipe]
    if recipe.freezes == "all" or trial.head.name in ("constant", "naive"):
        return 0.0
    if recipe.freezes == "nothing" or not isinstance(trial.frozen_depth, str):
        return 1.0
    return _trained(trial.frozen_depth)
