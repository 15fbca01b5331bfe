"""What a study leaves to raytl is decided once, when it first starts, and kept in its run."""

from raytl.config import Study
from raytl.data.feed import chosen_kind

FEWEST_PARALLEL, MOST_PARALLEL = 2, 8
TRIALS_A_SLOT = 8  # searched trials for each of them that may run at once


def resolved(study: Study, num_bytes: int, kept: bool = True) -> Study:
    """Return the study with its lag and feed decided. `num_bytes`: of the splits that it reads;
    `kept`: whether a node can keep them."""
    lag = study.search.parallel or lag_of(study.search.trials)
    return study.decided(parallel=lag, feed=chosen_kind(study.train.feed, num_bytes, kept))


def lag_of(trials: int) -> int:
    """Return how many of so many searched trials run at once at most, where a study leaves that
    open."""
    return min(MOST_PARALLEL, max(FEWEST_PARALLEL, trials // TRIALS_A_SLOT))


def spare_slots(study: Study, slots: int) -> str | None:
    """Return what is to be said where a cluster has room for more searched trials than may run at
    once. `study`: resolved; `slots`: trials that there is room for."""
    lag = study.search.parallel
    if study.search.sampler != "tpe" or lag is None or slots <= lag:
        return None
    return (
        f"search.parallel: {lag} searched trials run at once at most, and the cluster has room for "
        f"{slots}; a new run may raise it, and its trials learn less from each other"
    )
