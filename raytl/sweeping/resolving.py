"""What a study leaves to raytl is decided once, when it first starts, and kept in its run."""

from raytl.config import Study
from raytl.data.feed import chosen_kind

FEWEST_PARALLEL, MOST_PARALLEL = 2, 8
TRIALS_A_SLOT = 8  # searched trials for each of them that may run at once


def resolved(study: Study, num_bytes: int) -> Study:
    """Return the study with its lag and feed decided. `num_bytes`: of the splits that it reads."""
    lag = study.search.trials // TRIALS_A_SLOT
    lag = study.search.parallel or min(MOST_PARALLEL, max(FEWEST_PARALLEL, lag))
    feed = chosen_kind(study.train.feed, num_bytes)
    return study.model_copy(
        update={
            "search": study.search.model_copy(update={"parallel": lag}),
            "train": study.train.model_copy(update={"feed": feed}),
        }
    )
