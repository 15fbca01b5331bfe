"""`raytl shard`: from raw files to a dataset folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raytl.config import nearest
from raytl.data.importers import IMPORTERS
from raytl.data.importers.base import ShardOptions, refuse_unused
from raytl.data.schema import DatasetInfo
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError
from raytl.folders import refuse_existing


@dataclass(frozen=True)
class ShardReport:
    """What was written, and which files were left out and why."""

    info: DatasetInfo
    skipped: list[str]
    seconds: float


def shard(
    kind: str,
    source: str | None,
    out: Path,
    *,
    options: ShardOptions,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ShardReport:
    """Import `source` as `kind` and write it under `out`, whole or not at all.

    `progress` gets the number of rows just written. Raises ConfigError for an unknown kind or an
    option that it does not use, DataError for data that cannot be used, UserError where `out`
    exists without `force`.
    """
    start = time.perf_counter()
    if kind not in IMPORTERS:
        raise ConfigError(f"shard: unknown kind '{kind}'; {nearest(kind, list(IMPORTERS))}")
    importer = IMPORTERS[kind]
    refuse_unused(kind, importer, options)
    if importer.needs_source and source is None:
        raise ConfigError(f"shard {kind}: needs SOURCE and OUT, got one path")
    refuse_existing(out, force)
    found = importer.read(source, options)
    origin = {"kind": kind, "source": source} | options.model_dump(
        mode="json", exclude_defaults=True
    )
    info = write_dataset(
        out, found.image, found.classes, found.splits, origin,
        force=force, progress=progress or (lambda rows: None),
    )  # fmt: skip
    return ShardReport(info, found.skipped, time.perf_counter() - start)
