"""The two places of `raytl shard`: where the files are, and where the dataset is to stand."""

import os
from pathlib import Path

from raytl.data import begun
from raytl.data.importers import IMPORTERS
from raytl.data.importers.base import ShardOptions
from raytl.data.schema import FILE_NAME
from raytl.errors import ConfigError, UserError
from raytl.folders import printable, refuse_existing
from raytl.remote_files import exists, files_in
from raytl.urls import Place, Url, is_url, place_of


def absolute(source: str | None, options: ShardOptions) -> tuple[str | None, ShardOptions]:
    """Return what names the files, whatever folder a process stands in."""
    if source is not None:
        return _absolute(source), options
    splits = {name: _absolute(given) for name, given in (options.splits or {}).items()}
    return None, options.model_copy(update={"splits": splits}) if splits else options


def _absolute(given: str) -> str:
    return given if is_url(given) else os.path.abspath(place_of(given))


def check_places(
    kind: str,
    source: str | None,
    out: Place,
    options: ShardOptions,
    force: bool,
    in_parts: bool,
) -> None:
    """Raise ConfigError for a source that the kind does not take, UserError where no dataset may be
    written: `out` stands already without `force`, is no dataset that it may replace, or holds the
    source, or something was begun there that is not to be written `in_parts`."""
    importer = IMPORTERS[kind]
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
