"""Many files as one source: a folder, a pattern with * or {000..012}, here or behind a URL."""

import contextlib
import glob
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from raytl.data.importers.encoded import file_stamp
from raytl.errors import ConfigError, DataError, RaytlError
from raytl.folders import printable
from raytl.remote_files import file_at, files_in
from raytl.urls import Place, Url, path_in, place_of, url_of

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 1_000_000  # files that braces may name


@dataclass(frozen=True)
class FileAt:
    """A file that is there. `stamp` changes where its content does."""

    place: Place
    bytes: int
    stamp: str

    @property
    def name(self) -> str:
        """What to call it."""
        return self.place.shown if isinstance(self.place, Url) else printable(self.place)


@contextlib.contextmanager
def reading_file(file: FileAt) -> Iterator[None]:
    """Turn what a disk or a server raises while a file is read into our own errors, with its name:
    a RaytlError of a server, else a DataError."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{file.name}: is there no more; give the command again") from None
    except OSError as error:
        kind = RaytlError if isinstance(file.place, Url) else DataError
        raise kind(f"{file.name}: cannot be read: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def files_named(given: str, suffixes: Set[str]) -> list[FileAt]:
    """Return the files that are meant, in the order of braces and then of names: one, those of a
    folder and below with one of `suffixes`, those that a pattern with * fits, or several such by
    {000..012} or {a,b}.

    Raises DataError where nothing is there, or a file has another suffix; ConfigError for braces
    that do not hold, UserError for a URL with credentials.
    """
    found: list[FileAt] = []
    for one in _without_braces(given):
        place = place_of(one)
        here = _far(place) if isinstance(place, Url) else _near(str(place))
        kept = [file for file in here.files if _suffix(file) in suffixes]
        if not kept:
            what = ", ".join(sorted(suffixes))
            shown = place.shown if isinstance(place, Url) else printable(place)
            raise DataError(
                f"{shown}: {here.what}; give files ({what}), their folder, or a "
                "pattern such as data-{000..012}.tar or *.tar"
            )
        found += kept
    twice = next((a for a, b in itertools.pairwise(sorted(f.name for f in found)) if a == b), None)
    if twice is not None:
        raise DataError(f"{twice}: is named twice; name each file once")
    return found


def files_of_splits(patterns: Mapping[str, str], suffixes: Set[str]) -> dict[str, list[FileAt]]:
    """Return the files that are meant for each split. Raises as `files_named`, and DataError for a
    file that stands in two splits."""
    splits = {name: files_named(given, suffixes) for name, given in patterns.items()}
    taken: dict[Place, str] = {}
    for name, files in splits.items():
        for file in files:
            other = taken.setdefault(file.place, name)
            if other != name:
                raise DataError(
                    f"{file.name}: stands in two splits, {other} and {name}; name each file for one"
                )
    return splits


def split_patterns(kind: str, source: str | None, splits: dict[str, str] | None) -> dict[str, str]:
    """Return what names each split's files: with `splits` relative to the folder `source`, where
    one is given. Raises ConfigError where nothing is named."""
    if not splits:
        if source is None:
            raise ConfigError(
                f"shard {kind}: name a file: SOURCE, or a split's each, e.g. --split train=FILE"
            )
        return {"train": source}
    if source is None:
        return dict(splits)
    place = place_of(source)
    return {name: str(place / given) for name, given in splits.items()}


def _without_braces(given: str) -> Iterator[str]:
    """Yield what braces stand for."""
    words = [_words(part, given) for part in BRACES.findall(given)]
    count = 1
    for of_one in words:
        count *= len(of_one)
    if count > MOST:
        raise ConfigError(f"{given}: names {count:,} files; name {MOST:,} at most")
    texts = BRACES.split(given)[::2]
    for chosen in itertools.product(*words):
        yield "".join(itertools.chain(*itertools.zip_longest(texts, chosen, fillvalue="")))


def _words(inside: str, given: str) -> list[str]:
    run = RANGE.fullmatch(inside)
    if run is None:
        words = inside.split(",")
        if len(words) < 2:
            raise ConfigError(f"{given}: braces hold a run or names, as {{000..012}} or {{a,b}}")
        return words
    first, last = int(run[1]), int(run[2])
    if first > last or last - first >= MOST:
        raise ConfigError(f"{given}: the run {{{inside}}} must go up, by {MOST:,} at most")
    width = len(run[1]) if run[1].startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


@dataclass(frozen=True)
class _Here:
    files: list[FileAt]
    what: str  # what there is where none of them fits


def _near(given: str) -> _Here:
    path = Path(given)
    if path.is_dir():
        paths, what = sorted(path.rglob("*")), "no such file is in this folder"
    elif path.is_file():
        paths, what = [path], "is a file of another kind"
    elif glob.has_magic(given):
        paths, what = sorted(map(Path, glob.glob(given, recursive=True))), "fits no such file"
    else:
        paths, what = [], "no such file or folder"
    files = [FileAt(p, p.stat().st_size, file_stamp(p)) for p in paths if p.is_file()]
    return _Here(files, what)


def _far(url: Url) -> _Here:
    path = urlsplit(url).path
    if "*" in path or "[" in path:
        above = path[: re.search(r"[*\[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
        folder = Url(url_of(urlsplit(url)._replace(path=above)))
        fits = path_in(url)[len(path_in(folder)) + 1 :].split("/")
        found, what = files_in(folder), "fits no such file"
        names = [name for name in sorted(found) if _fits(name.split("/"), fits)]
    elif (one := file_at(url)) is not None:
        return _Here([FileAt(url, one.bytes, one.stamp)], "is a file of another kind")
    else:
        folder, found = url, files_in(url)
        names, what = sorted(found), "no such file is there"
    return _Here([FileAt(folder / n, found[n].bytes, found[n].stamp) for n in names], what)


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path's parts fit a pattern's, as on disk: * stands within a part, ** for any number
    of folders, neither for what is hidden."""
    if not path or not pattern:
        return not path and not pattern
    hidden = path[0].startswith(".") and not pattern[0].startswith(".")
    if pattern[0] == "**":
        if len(pattern) == 1:
            return not any(part.startswith(".") for part in path)
        return _fits(path, pattern[1:]) or (not hidden and _fits(path[1:], pattern))
    return not hidden and fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _suffix(file: FileAt) -> str:
    name = file.place.name.lower()
    return ".tar.gz" if name.endswith(".tar.gz") else Path(name).suffix
