"""`raytl shard`: from raw files to a dataset folder."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from raytl.config import nearest
from raytl.data.begun import Begun
from raytl.data.importers import IMPORTERS
from raytl.data.importers.base import (
    Imported,
    Importer,
    ShardOptions,
    distinct_names,
    flag,
    refuse_unused,
)
from raytl.data.schema import DatasetInfo
from raytl.data.shard_places import absolute, check_places
from raytl.data.split_writing import Seen
from raytl.data.stored import Each, StoredRows
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.modalities.column import Column
from raytl.packages import versions_of
from raytl.tasks.columns import LabelColumn
from raytl.urls import Place

DECODERS = ("raytl", "pillow", "scipy")  # whose versions rows may hang on


@dataclass(frozen=True)
class ShardReport:
    """What was written, which files were left out and why, and what else should be known."""

    info: DatasetInfo
    skipped: list[str]
    notes: list[str]
    seconds: float


def shard_options(**options: Any) -> ShardOptions:
    """Return the checked options; raises ConfigError for one that does not hold."""
    try:
        return ShardOptions(**options)
    except ValidationError as error:
        first = error.errors()[0]
        what = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise ConfigError(what) from None
        raise ConfigError(f"{flag(str(first['loc'][0]))}: {what}, got {first['input']!r}") from None


def shard(
    kind: str,
    source: str | None,
    out: Place,
    *,
    options: ShardOptions,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda rows, total: None,
    each: Each | None = None,
) -> ShardReport:
    """Import `source` as `kind` and write it under `out`, whole or not at all.

    With `each`, such as tasks of a cluster, the shards are written by whom it names, and what the
    same call wrote before it was stopped is kept. `progress` gets the number of rows just read and
    of all rows. Raises ConfigError for an unknown kind or an option that it does not use, DataError
    for data that cannot be used, UserError where `out` exists without `force`, or is no dataset
    that `force` may replace.
    """
    check(kind, source, out, options, force, in_parts=each is not None)
    return shard_checked(
        kind, source, out, options=options, force=force, progress=progress, each=each
    )


def shard_checked(
    kind: str,
    source: str | None,
    out: Place,
    *,
    options: ShardOptions,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda rows, total: None,
    each: Each | None = None,
) -> ShardReport:
    """Do what `shard` does once `check` was called."""
    start = time.perf_counter()
    importer = IMPORTERS[kind]
    under_way = None
    if each is not None:
        under_way = Begun.open(out, _plan(kind, source, options), force, options.skip_bad)
    found = _read(importer, source, options, each)
    for column in found.columns.values():
        if isinstance(column, LabelColumn):
            check_classes(column.classes)
    if each is not None and not all(isinstance(of, StoredRows) for of in found.splits.values()):
        raise _alone(kind)  # of another's importer, say
    seen = Seen()
    info = write_dataset(
        out, found.columns, found.splits, origin_of(kind, source, options), force=force,
        progress=lambda rows: progress(rows, found.rows), seen=seen, each=each or map,
        begun=under_way,
    )  # fmt: skip
    notes = [*found.notes, *classes_without_rows(found.columns, seen)]
    seconds = time.perf_counter() - start
    return ShardReport(info, [*found.skipped, *seen.left_out], notes, seconds)


def check(
    kind: str, source: str | None, out: Place, options: ShardOptions, force: bool, in_parts: bool
) -> None:
    """Raise what `shard` raises of what it is given, before anything is read. `in_parts`: by
    several processes."""
    if kind not in IMPORTERS:
        raise ConfigError(f"shard: unknown kind '{kind}'; {nearest(kind, list(IMPORTERS))}")
    refuse_unused(kind, IMPORTERS[kind], options)
    if IMPORTERS[kind].alone and in_parts:
        raise _alone(kind)
    check_places(kind, source, out, options, force, in_parts)


def _alone(kind: str) -> ConfigError:
    able = ", ".join(name for name, one in IMPORTERS.items() if not one.alone)
    return ConfigError(
        f"shard {kind}: one process reads it; leave out --workers, which {able} take"
    )


def _read(
    importer: Importer, source: str | None, options: ShardOptions, each: Each | None
) -> Imported:
    if each is not None:  # other processes may stand in other folders
        source, options = absolute(source, options)
    try:
        return importer.imported(source, options, each or map)
    except OSError as error:
        place = printable(error.filename or source or "")
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise DataError for less than two classes, or two of one name."""
    try:
        distinct_names(list(classes))
    except ValueError as error:
        raise DataError(str(error)) from None
    if len(classes) < 2:
        raise DataError(
            f"a classification needs two classes or more, got one, '{classes[0]}'; add the others, "
            "or name them all with --classes"
        )


def classes_without_rows(columns: Mapping[str, Column], seen: Seen) -> list[str]:
    """Return a note on each split in which a class has no row."""
    notes = []
    for (split, name), present in seen.classes.items():
        column = columns[name]
        assert isinstance(column, LabelColumn)
        missing = [of for number, of in enumerate(column.classes) if number not in present]
        if missing:
            names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            notes.append(
                f"split {split}: {len(missing)} of {len(column.classes)} classes have no row: "
                f"{names}"
            )
    return notes


def origin_of(kind: str, source: str | None, options: ShardOptions) -> dict[str, Any]:
    """Return where data come from, as `dataset.json` says it."""
    given = options.model_dump(mode="json", exclude_defaults=True)
    return {"kind": kind, "source": source and printable(source)} | given


def _plan(kind: str, source: str | None, options: ShardOptions) -> dict[str, Any]:
    """Return what a dataset that was begun must be of, to go on with it: not whether bad rows are
    left out, for one that is met may be skipped from then on."""
    origin = origin_of(kind, source, options)
    return {name: value for name, value in origin.items() if name != "skip_bad"} | {
        "versions": versions_of(DECODERS)
    }
