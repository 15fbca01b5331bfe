"""`raytl shard`: from raw files to a dataset folder."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from raytl.config import nearest
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
from raytl.data.writer import Chunk, Chunks, write_dataset
from raytl.errors import ConfigError, DataError, UserError
from raytl.folders import printable, refuse_existing
from raytl.remote_files import exists, files_in
from raytl.tasks.columns import LabelColumn
from raytl.urls import Place, Url


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
) -> ShardReport:
    """Import `source` as `kind` and write it under `out`, whole or not at all.

    `progress` gets the number of rows just read and of all rows. Raises ConfigError for an unknown
    kind or an option that it does not use, DataError for data that cannot be used, UserError where
    `out` exists without `force`, or is no dataset that `force` may replace.
    """
    start = time.perf_counter()
    if kind not in IMPORTERS:
        raise ConfigError(f"shard: unknown kind '{kind}'; {nearest(kind, list(IMPORTERS))}")
    importer = IMPORTERS[kind]
    refuse_unused(kind, importer, options)
    _check_paths(kind, importer, source, out, options, force)
    found = _read(importer, source, options)
    labels = {n: c for n, c in found.columns.items() if isinstance(c, LabelColumn)}
    for column in labels.values():
        _check_classes(column.classes)
    held = {(split, name): set[int]() for split in found.splits for name in labels}
    splits = {split: _watched(chunks, split, held) for split, chunks in found.splits.items()}
    info = write_dataset(
        out, found.columns, splits, _origin(kind, source, options),
        force=force, progress=lambda rows: progress(rows, found.rows),
    )  # fmt: skip
    notes = list(found.notes)
    for name, column in labels.items():
        notes += _classes_without_rows(column.classes, {s: held[s, name] for s in found.splits})
    return ShardReport(info, found.skipped, notes, time.perf_counter() - start)


def _check_paths(
    kind: str,
    importer: Importer,
    source: str | None,
    out: Place,
    options: ShardOptions,
    force: bool,
) -> None:
    if importer.source == "needed" and source is None:
        raise ConfigError(f"shard {kind}: needs SOURCE and OUT, got one path")
    if importer.source == "none" and source is not None:
        raise ConfigError(f"shard {kind}: needs OUT alone, got two paths: {source} {out}")
    if printable(out) != str(out):
        raise UserError(f"{printable(out)}: OUT's name is no UTF-8; give another")
    refuse_existing(out, force)
    if isinstance(out, Url):
        if force and files_in(out) and not exists(out / FILE_NAME):
            raise _no_dataset(out)
        return
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


def _read(importer: Importer, source: str | None, options: ShardOptions) -> Imported:
    try:
        return importer.read(source, options)
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


def _watched(chunks: Chunks, split: str, held: dict[tuple[str, str], set[int]]) -> Iterator[Chunk]:
    """Pass chunks on and note which classes they hold: `held`, by split and label column."""
    for chunk in chunks:
        for (of_split, name), classes in held.items():
            if of_split == split:
                classes.update(np.unique(chunk.values[name]).tolist())
        yield chunk


def _classes_without_rows(classes: tuple[str, ...], held: dict[str, set[int]]) -> list[str]:
    notes = []
    for split, present in held.items():
        missing = [name for number, name in enumerate(classes) if number not in present]
        if missing:
            names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            notes.append(
                f"split {split}: {len(missing)} of {len(classes)} classes have no row: {names}"
            )
    return notes


def _origin(kind: str, source: str | None, options: ShardOptions) -> dict[str, Any]:
    """Return where the data came from, for `dataset.json`."""
    given = options.model_dump(mode="json", exclude_defaults=True)
    return {"kind": kind, "source": source and printable(source)} | given
