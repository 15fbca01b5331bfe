"""A dataset that is being written shard by shard, and what was written of it before.

Behind a URL the shards are written where they belong: without `dataset.json` they are no dataset. A
folder is written beside its place and renamed. Each shard has a record until all of them are there.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytl.data.schema import FILE_NAME, DatasetInfo, read_info
from raytl.data.written import RECORDS, Written
from raytl.errors import RaytlError, UserError
from raytl.folders import make_folder
from raytl.remote_files import delete, files_in, put_text, read_text, there
from raytl.urls import Place, Url

PLAN = "begun.json"  # what was asked for
AT_ONCE = 32  # small files that are read or deleted


@dataclass
class Begun:
    """`place`: where shards are written; `out`: where the dataset is to stand."""

    out: Place
    place: Place
    plan: dict[str, Any]
    _there: bool  # whether it was begun before
    _known: dict[str, Written]  # by file

    @classmethod
    def open(cls, out: Place, plan: dict[str, Any], force: bool, skip_bad: bool) -> "Begun":
        """Return what was begun of this plan; shards of which rows were left out count `skip_bad`
        alone. Raises UserError where something else was begun there
        and `force` does not say that it is to be replaced."""
        place, plan = begun_place(out), json.loads(json.dumps(plan))
        held = _files(place)
        same = PLAN in held and _plan(place) == plan
        if PLAN in held and not same and not force:
            raise UserError(
                f"{out}: a dataset of another source or with other options was begun here; go on "
                "with it by the same command, give another OUT, or --force to begin anew"
            )
        known = _records(place, held) if same else {}
        known = {file: done for file, done in known.items() if skip_bad or not done.left_out}
        return cls(out, place, plan, same, known)

    def known(self, file: str, digest: str) -> Written | None:
        """Return the record of a shard that is there and holds what is asked for."""
        found = self._known.get(file)
        return found if found is not None and found.digest == digest else None

    @contextlib.contextmanager
    def going_on(self) -> Iterator[Place]:
        """Yield where shards are written. Those that were stay when the block fails; where there is
        none, nothing does."""
        if not self._there:
            _begin(self.place, self.plan)
        try:
            yield self.place
        except BaseException:
            with contextlib.suppress(RaytlError, OSError):
                if not any(name.startswith(f"{RECORDS}/") for name in _files(self.place)):
                    discard(self.out)
            raise

    def finish(self, info: DatasetInfo, text: str) -> None:
        """Make a dataset of the shards, `text` its `dataset.json`, and clear what else is there.

        Raises RaytlError where a shard is not there, as on a disk that nodes do not share.
        """
        missing = sorted(_names(info) - _files(self.place).keys() - {FILE_NAME})
        if missing:
            raise RaytlError(
                f"{self.out}: {missing[0]} was written by another machine and is not here "
                f"({len(missing)} such); give a URL, or a folder that all nodes share"
            )
        put_text(text, self.place / FILE_NAME)
        if isinstance(self.place, Path):
            _replace(self.place, Path(self.out))
        _clear(self.out, _names(info))


def discard(out: Place) -> None:
    """Delete what was begun of a dataset at `out`."""
    place = begun_place(out)
    if isinstance(place, Url):
        _clear(place, set())
    else:
        shutil.rmtree(place, ignore_errors=True)


def begun_place(out: Place) -> Place:
    """Return where the shards of a dataset at `out` are written until all are there."""
    if isinstance(out, Url):
        return out
    place = Path(os.path.abspath(out))  # "." has no name
    return place.with_name(f".{place.name}.begun")


def is_begun(out: Place) -> bool:
    """Whether a dataset at `out` was begun shard by shard, and not finished."""
    return _has(begun_place(out), PLAN)


def tidy(out: Place) -> None:
    """Delete what is left at `out` of how it was written, where the dataset itself is whole."""
    if _has(out, PLAN) and _has(out, FILE_NAME):
        _clear(out, _names(read_info(out)))


def _names(info: DatasetInfo) -> set[str]:
    """Return the names of a dataset's files."""
    return {FILE_NAME, *(shard.file for split in info.splits.values() for shard in split.shards)}


def _clear(place: Place, but: set[str]) -> None:
    """Delete the files at a place except those named, what says that it was begun at last."""
    names = [name for name in _files(place) if name not in but and name != PLAN]
    if isinstance(place, Url):
        list(_at_once(lambda name: delete(place / name), names))
        delete(place / PLAN)
        return
    for name in names:
        (place / name).unlink(missing_ok=True)
    shutil.rmtree(place / RECORDS, ignore_errors=True)
    (place / PLAN).unlink(missing_ok=True)


def _has(place: Place, name: str) -> bool:
    try:
        return there(place / name)
    except OSError:  # a name that is too long, say
        return False


def _files(place: Place) -> dict[str, int]:
    """Return the sizes of the files at a place, in bytes."""
    if isinstance(place, Url):
        return {name: found.bytes for name, found in files_in(place).items()}
    files = (path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): path.stat().st_size for path in files}


def _plan(place: Place) -> Any:
    try:
        return json.loads(read_text(place / PLAN))
    except ValueError:
        return None  # of a full disk, say


def _begin(place: Place, plan: dict[str, Any]) -> None:
    if isinstance(place, Url):
        delete(place / FILE_NAME)  # what is replaced is no dataset from now on
    else:
        shutil.rmtree(place, ignore_errors=True)
        make_folder(place)
    put_text(json.dumps(plan), place / PLAN)


def _records(place: Place, held: dict[str, int]) -> dict[str, Written]:
    names = [name for name in held if name.startswith(f"{RECORDS}/") and name.endswith(".json")]
    found = {}
    texts = _at_once(lambda name: read_text(place / name), names)
    for name, text in zip(names, texts, strict=True):
        try:
            record = Written.model_validate_json(text)
        except ValidationError:
            continue  # its shard is written again
        file = name.removeprefix(f"{RECORDS}/").removesuffix(".json")
        if record.info is None or held.get(file) == record.info.bytes:
            found[file] = record
    return found


def _at_once(do: Callable[[str], Any], names: Iterable[str]) -> Iterator[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(do, names)


def _replace(place: Path, out: Path) -> None:
    try:
        if out.is_symlink():
            out.unlink()
        elif out.exists():
            shutil.rmtree(out)
        os.replace(place, out)
    except OSError as error:
        raise RaytlError(f"{out}: cannot be replaced: {error.strerror}") from error
