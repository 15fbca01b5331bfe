"""What a dataset holds, ready for JSON."""

from typing import Any

import numpy as np

from raytl.data.dataset import Dataset
from raytl.data.groups_apart import check_apart
from raytl.tasks.columns import NO_LABEL, LabelColumn


def describe(dataset: Dataset, *, verify: bool = True) -> dict[str, Any]:
    """Return columns, rows, class counts, bytes, origin and fingerprint; `verify` reads all.

    Raises CorruptError for a shard that is not what was written, DataError for a group that stands
    in two splits.
    """
    if verify:
        dataset.verify()
    check_apart(dataset, list(dataset.info.splits))
    labels = {name: of for name, of in dataset.columns.items() if isinstance(of, LabelColumn)}
    splits = {}
    for name, info in dataset.info.splits.items():
        facts: dict[str, Any] = {"rows": info.rows, "shards": len(info.shards)}
        for column, of in labels.items():
            which = f" of {column}" if len(labels) > 1 else ""
            numbers = dataset.split(name).all(column)
            counts = np.bincount(numbers[numbers != NO_LABEL], minlength=len(of.classes))
            facts[f"classes{which}"] = dict(zip(of.classes, counts.tolist(), strict=True))
            if of.nulls:
                facts[f"without a label{which}"] = int((numbers == NO_LABEL).sum())
        splits[name] = facts
    return {
        "path": str(dataset.path),
        "columns": {name: column.describe() for name, column in dataset.columns.items()},
        "splits": splits,
        "bytes": dataset.bytes,
        "origin": dataset.info.origin,
        "fingerprint": dataset.fingerprint,
        "verified": verify,
    }
