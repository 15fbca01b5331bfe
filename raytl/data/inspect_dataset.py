"""What a dataset holds, ready for JSON."""

from typing import Any

import numpy as np

from raytl.data.dataset import Dataset


def describe(dataset: Dataset, *, verify: bool = True) -> dict[str, Any]:
    """Return rows, class counts, shape, bytes, origin and fingerprint; `verify` reads all."""
    if verify:
        dataset.verify()
    classes = dataset.classes
    splits = {}
    for name, info in dataset.info.splits.items():
        counts = np.bincount(dataset.split(name).labels(), minlength=len(classes))
        splits[name] = {
            "rows": info.rows,
            "shards": len(info.shards),
            "classes": dict(zip(classes, counts.tolist(), strict=True)),
        }
    return {
        "path": str(dataset.path),
        "task": dataset.info.task,
        "image": dataset.info.columns.image.model_dump(mode="json"),
        "splits": splits,
        "bytes": dataset.bytes,
        "origin": dataset.info.origin,
        "fingerprint": dataset.fingerprint,
        "verified": verify,
    }
