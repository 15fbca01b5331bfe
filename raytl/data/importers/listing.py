"""A folder behind a URL as one listing found it: what importers ask of paths, without asking the
server again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from raytl.folders import printable
from raytl.remote_files import Found, files_in
from raytl.urls import Url, place_of


@dataclass(frozen=True)
class Listed:
    """A file or folder of a listing. The methods are those of `Path`; there are no links, and none
    of it leads nowhere."""

    root: Url
    path: PurePosixPath  # below `root`
    stamp: str = ""  # of a file: changes where its content does
    # Of a folder, by name
    inside: "Mapping[str, Listed] | None" = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type, tuple[Url, PurePosixPath, str]]:
        # What goes to another process is one file, not what stands beside it
        return Listed, (self.root, self.path, self.stamp)

    def __str__(self) -> str:
        return self.url.shown

    def __lt__(self, other: "Listed") -> bool:
        return self.path < other.path

    def __truediv__(self, name: str) -> "Listed":
        found = (self.inside or {}).get(name)
        return Listed(self.root, self.path / name) if found is None else found

    @property
    def url(self) -> Url:
        """Where it is."""
        return self.root / str(self.path) if self.path.parts else self.root

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def suffix(self) -> str:
        """What its name ends in, from the last dot."""
        return self.path.suffix

    def iterdir(self) -> Iterator["Listed"]:
        """Yield what is in the folder."""
        yield from (self.inside or {}).values()

    def is_dir(self) -> bool:
        """Whether it is a folder with something in it."""
        return self.inside is not None

    def is_file(self) -> bool:
        """Whether it is a file that was listed."""
        return bool(self.stamp)

    def exists(self) -> bool:
        """Whether it was listed."""
        return self.is_dir() or self.is_file()

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def resolve(self) -> "Listed":
        """Return itself."""
        return self

    def relative_to(self, root: "Listed") -> PurePosixPath:
        """Return the path from a folder above it."""
        return self.path.relative_to(root.path)


Entry = Path | Listed  # a file or folder, here or behind a URL


def entry_of(source: str) -> Entry:
    """Return the folder that is meant; one behind a URL is listed. Raises UserError for a URL with
    credentials, RaytlError where it cannot be reached."""
    place = place_of(source)
    return listed(place) if isinstance(place, Url) else place


def entries(folder: Entry) -> Iterator[Entry]:
    """Yield what is in a folder."""
    yield from folder.iterdir()


def in_order(found: Iterable[Entry]) -> list[Entry]:
    """Return what is in one folder in the order of names."""
    return sorted(found)


def is_hidden(entry: Entry) -> bool:
    """Whether it is no data: named with a dot in front, or what macOS adds to an archive."""
    return entry.name.startswith(".") or entry.name == "__MACOSX"


def below(path: Entry, root: Entry) -> str:
    """Return the path of what is in a folder, from there, with / between its parts."""
    return path.relative_to(root).as_posix()  # type: ignore[arg-type]  # as in_order


def shown(entry: Entry) -> str:
    """Return what to call a file or folder, as text that every terminal takes."""
    return printable(str(entry))


def listed(url: Url) -> Listed:
    """Return what is behind a URL; not a folder where nothing is. Raises RaytlError where it cannot
    be reached."""
    found = files_in(url)
    return _folder(url, PurePosixPath(), _tree(found)) if found else Listed(url, PurePosixPath())


Tree = dict[str, "Tree | Found"]


def _tree(files: Mapping[str, Found]) -> Tree:
    tree: Tree = {}
    for name, found in files.items():
        *folders, last = PurePosixPath(name).parts
        here = tree
        for folder in folders:
            inner = here.setdefault(folder, {})
            if not isinstance(inner, dict):  # a file of this name stands there, too
                break
            here = inner
        else:
            here.setdefault(last, found)
    return tree


def _folder(root: Url, path: PurePosixPath, tree: Tree) -> Listed:
    inside = {}
    for name, found in tree.items():
        if isinstance(found, dict):
            inside[name] = _folder(root, path / name, found)
        else:
            inside[name] = Listed(root, path / name, f"{found.bytes} {found.stamp}")
    return Listed(root, path, inside=inside)
