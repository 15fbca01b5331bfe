"""Which labels a study read, and whether its seeds drew others."""

from collections.abc import Sequence

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.sweeping.kept.records import Record
from raytl.training.splits import count_labelled, share_drawn

MUCH_SHARED = 0.2  # of a draw's rows, with another draw


def labels_read(study: Study, records: Sequence[Record], target: Domain) -> int:
    """Return how many different target labels training and selection read in all."""
    seeds = {record.config["rows_seed"] for record in records}
    return count_labelled(target, {study.search.seed if seed is None else seed for seed in seeds})


def on_drawn_labels(study: Study, records: Sequence[Record], target: Domain) -> list[str]:
    """Return the sentence, if any, that says of `labels: N` for which labels the verdict holds:
    where no seed drew others, or where each draw takes so many of the rows that have a label that
    seeds share them, so that the interval says less of other rows."""
    if not isinstance(study.target_domain.labels, int):
        return []
    labels = study.target_domain.labels
    each = " a class" if "classes" in study.gives else ""
    if all(record.config["rows_seed"] is None for record in records):
        return [f"this holds for these {labels} labels{each}: no seed drew others"]
    share = share_drawn(target)
    if share < MUCH_SHARED:
        return []
    of = "a class's rows" if each else "the rows that have one"
    return [
        f"each seed's {labels} labels{each} are up to {share:.0%} of {of}, so that seeds share "
        "some: the interval says less of rows that none has drawn"
    ]
