"""`raytl shard`: from raw files to a dataset folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

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


def shard_options(**options: Any) -> ShardOptions:
    """Return the checked options; raises ConfigError for one that does not hold."""
    try:
        return ShardOptions(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "shard"
        raise ConfigError(f"--{name}: {first['msg']}, got {first['input']!r}") from None


def shard(
    kind: str,
    source: str | None,
    out: Path,
    *,
    options: ShardOptions,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda rows, total: None,
) -> ShardReport:
    """Import `source` as `kind` and write it under `out`, whole or not at all.

    `progress` gets the number of rows just read and of all rows. Raises ConfigError for an unknown
    kind or an option that it does not use, DataError for data that cannot be used, UserError where
    `out` exists without `force`.
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
        force=force, progress=lambda rows: progress(rows, found.rows),
    )  # fmt: skip
    return ShardReport(info, found.skipped, time.perf_counter() - start)
