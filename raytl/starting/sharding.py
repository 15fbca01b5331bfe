"""From raw data to a dataset, by the importers of `raytl shard`."""

from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

from raytl.data.dataset import Dataset
from raytl.data.schema import FILE_NAME
from raytl.data.shard import check, origin_of, shard_checked, shard_options
from raytl.errors import UserError
from raytl.starting.raw import Raw

ADVICE = "all rows are in the split train"  # how the importers' note on --test begins
Say = Callable[[str], None]


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset of raytl's."""
    return (path / FILE_NAME).is_file()


def place_beside(raw: Raw, out: Path) -> Path:
    """Return `out`, or the first of out-2, out-3, … if a dataset of something else stands there:
    where nothing is, or what was written of the same before."""
    numbered = (out.with_name(f"{out.name}-{number}") for number in count(2))
    return next(
        place for place in chain([out], numbered)
        if not place.exists() or (is_dataset(place) and _is_of(place, raw))
    )  # fmt: skip


def _is_of(dataset: Path, raw: Raw) -> bool:
    origin = origin_of(raw.kind, raw.source, shard_options(**raw.options))
    return Dataset.open(dataset).info.origin == origin


def sharded(raw: Raw, out: Path, *, force: bool, say: Say) -> None:
    """Write raw data as the dataset `out`, whole or not at all, unless it was written from the same
    source with the same options before. Raises what `raytl shard` raises, with the command that is
    equal to it, by which other options can be given."""
    options, command = shard_options(**raw.options), raw.command(str(out))
    if is_dataset(out) and not force:
        if _is_of(out, raw):
            say(f"{out} was written from {raw.source} before; it is taken as it is")
            return
        raise UserError(
            f"{out}: a dataset of something else stands here; give another folder with --data, or "
            "replace it with --force"
        )
    say(f"sharding: {command}")
    try:
        check(raw.kind, raw.source, out, options, force, in_parts=False)
        report = shard_checked(raw.kind, raw.source, out, options=options, force=force)
    except UserError as error:
        raise type(error)(
            f"{error}\n(so says `{command}`: run it with other options by hand, and give {out} in "
            f"place of {raw.source})"
        ) from None
    for text in report.skipped[:5]:
        say(f"skipped {text}")
    if len(report.skipped) > 5:
        say(f"… and {len(report.skipped) - 5} more skipped")
    for note in report.notes:
        if not note.startswith(ADVICE):  # of a source domain, which needs no test split
            say(f"note: {note}")


def class_option(raw: Raw, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the option that gives raw data of one domain the other's classes, where their kind
    takes one: a domain may lack rows of some."""
    by_words = raw.kind in ("table", "text-lines", "series")
    takes = by_words or "pattern" in raw.options or "unlabelled" in raw.options
    named = len(classes) > 1 and not any("," in name for name in classes)
    return {"classes": ",".join(classes)} if takes and named else {}
