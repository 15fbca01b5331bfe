"""What the tests of importers share."""

from pathlib import Path
from typing import Any

import numpy as np

from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport, shard, shard_options


def sharded(kind: str, source: Path | str | None, out: Path, **options: Any) -> ShardReport:
    """Shard with the options of the command line."""
    named = None if source is None else str(source)
    return shard(kind, named, out, options=shard_options(**options))


def in_order(out: Path, split: str, *columns: str) -> list[Any]:
    """Return columns of a split in the order of the source."""
    part = Dataset.open(out).split(split)
    order = np.argsort(part.ids())
    return [part.read(column, order) for column in columns]


def written(path: Path, content: str | bytes) -> Path:
    """Write a file and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
