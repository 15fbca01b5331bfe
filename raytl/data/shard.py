"""`raytl shard`: from raw files to a dataset folder."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytl.config import nearest
from raytl.data import begun
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
from raytl.data.schema import FILE_NAME, DatasetInfo
from raytl.data.split_writing import Seen
from raytl.data.stored import Each
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError, DataError, UserError
from raytl.folders import printable, refuse_existing
from raytl.modalities.column import Column
from raytl.packages import versions_of
from raytl.remote_files import exists, files_in
from raytl.tasks.columns import LabelColumn
from raytl.urls import Place, Url, is_url, place_of

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
    start = time.perf_counter()
    importer = _importer(kind, options, each)
    _check_paths(kind, importer, source, out, options, force, each is not None)
    under_way = None if each is None else Begun.open(out, _plan(kind, source, options), force)
    found = _read(importer, source, options, each or map)
    for column in found.columns.values():
        if isinstance(column, LabelColumn):
            _check_classes(column.classes)
    seen = Seen()
    info = write_dataset(
        out, found.columns, found.splits, _origin(kind, source, options), force=force,
        progress=lambda rows: progress(rows, found.rows), seen=seen, each=each or map,
        begun=under_way,
    )  # fmt: skip
    notes = [*found.notes, *_classes_without_rows(found.columns, seen)]
    seconds = time.perf_counter() - start
    return ShardReport(info, [*found.skipped, *seen.left_out], notes, seconds)


def _importer(kind: str, options: ShardOptions, each: Each | None) -> Importer:
    if kind not in IMPORTERS:
        raise ConfigError(f"shard: unknown kind '{kind}'; {nearest(kind, list(IMPORTERS))}")
    importer = IMPORTERS[kind]
    refuse_unused(kind, importer, options)
    if importer.alone and each is not None:
        able = ", ".join(name for name, one in IMPORTERS.items() if not one.alone)
        raise ConfigError(
            f"shard {kind}: one process reads it; leave out --workers, which {able} take"
        )
    return importer


def _check_paths(
    kind: str,
    importer: Importer,
    source: str | None,
    out: Place,
    options: ShardOptions,
    force: bool,
    in_parts: bool,
) -> None:
    if importer.source == "needed" and source is None:
        raise ConfigError(f"shard {kind}: needs SOURCE and OUT, got one path")
    if importer.source == "none" and source is not None:
        raise ConfigError(f"shard {kind}: needs OUT alone, got two paths: {source} {out}")
    if source is not None and is_url(source) and not importer.far:
        able = ", ".join(name for name, one in IMPORTERS.items() if one.far)
        raise ConfigError(
            f"shard {kind}: reads files of this machine, got {place_of(source)}; copy them here "
            f"({able} read URLs)"
        )
    if printable(out) != str(out):
        raise UserError(f"{printable(out)}: OUT's name is no UTF-8; give another")
    begun.tidy(out)
    is_begun = begun.is_begun(out)
    if isinstance(out, Url) and is_begun and (in_parts or force):
        return
    if is_begun and not in_parts and not force:
        raise UserError(
            f"{out}: a dataset was begun here with --workers; give the same command to go on with "
            "it, another OUT, or --force to begin anew"
        )
    refuse_existing(out, force)
    if isinstance(out, Url):
        if force and files_in(out) and not exists(out / FILE_NAME):
            raise _no_dataset(out)
        return
    _check_replaced(source, out, options)
    if is_begun and not in_parts:
        begun.discard(out)


def _check_replaced(source: str | None, out: Path, options: ShardOptions) -> None:
    """Raise UserError where a folder to be replaced holds the source, or is no dataset."""
    if not out.exists():
        return
    base = Path(source or "")
    named = [*(options.splits or {}).values(), *(options.class_files or {}).values()]
    for path in [*([base] if source is not None else []), *(base / name for name in named)]:
        if path.resolve().is_relative_to(out.resolve()):
            raise UserError(f"{out}: --force would delete the source {path}; give another OUT")
    if not (out / FILE_NAME).is_file():
        raise _no_dataset(out)


def _no_dataset(out: Place) -> UserError:
    return UserError(
        f"{out}: --force replaces datasets alone, and this is none ({FILE_NAME} is missing); "
        "remove it or give another OUT"
    )


def _read(importer: Importer, source: str | None, options: ShardOptions, each: Each) -> Imported:
    try:
        return importer.imported(source, options, each)
    except OSError as error:
        place = printable(error.filename or source or "")
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None


def _check_classes(classes: tuple[str, ...]) -> None:
    try:
        distinct_names(list(classes))
    except ValueError as error:
        raise DataError(str(error)) from None
    if len(classes) < 2:
        raise DataError(
            f"a classification needs two classes or more, got one, '{classes[0]}'; add the others, "
            "or name them all with --classes"
        )


def _classes_without_rows(columns: Mapping[str, Column], seen: Seen) -> list[str]:
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


def _origin(kind: str, source: str | None, options: ShardOptions) -> dict[str, Any]:
    """Return where the data came from, for `dataset.json`."""
    given = options.model_dump(mode="json", exclude_defaults=True)
    return {"kind": kind, "source": source and printable(source)} | given


def _plan(kind: str, source: str | None, options: ShardOptions) -> dict[str, Any]:
    """Return what a dataset that was begun must be of, to go on with it. Rows that are left out are
    so in any case: a bad file that is met may be skipped from then on."""
    origin = _origin(kind, source, options)
    return {name: value for name, value in origin.items() if name != "skip_bad"} | {
        "versions": versions_of(DECODERS)
    }
