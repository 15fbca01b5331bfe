"""The datasets that a new study is about: ready ones, or raw data that are sharded first."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from raytl.data.schema import FILE_NAME
from raytl.errors import ConfigError, DataError
from raytl.remote_files import there
from raytl.starting.facts import Facts, facts_of
from raytl.starting.looking import look
from raytl.starting.raw import Raw, Wanted
from raytl.starting.sharding import class_option, is_dataset, place_beside, sharded
from raytl.urls import Place, Url, place_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Given:
    """Data as they were given. `raw`: what was recognised, None of a dataset of raytl's; `place`:
    of the dataset, which raw data come to."""

    place: Place
    raw: Raw | None
    target: str | None

    @property
    def column(self) -> str | None:
        """The dataset's column that is asked to be learnt, where there may be several."""
        return self.target if self.raw is None else None


def plain_name(data: str) -> str:
    """Return a study's name after its data; `study` where nothing of theirs can be one."""
    last = Path(os.path.abspath(str(place_of(data)).partition("?")[0])).name
    stem = re.sub(r"(\.gz)?$", "", last)
    stem = stem if Path(data).is_dir() else stem.partition(".")[0] or stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "study"


def given_data(data: str, out: Path, wanted: Wanted) -> Given:
    """Return what data are; `out`: where raw ones come to be a dataset. Raises as `look`, and
    ConfigError for raw data behind a URL and for a `--pattern` of no use."""
    place = place_of(data)
    if isinstance(place, Url):
        if not there(place / FILE_NAME):
            raise ConfigError(
                f"{place.shown}: no dataset of raytl's is there, and raw data are recognised on "
                "this machine alone; shard them first (raytl shard --help)"
            )
        return Given(place, None, wanted.target)
    if is_dataset(place):
        if wanted.pattern is not None:
            raise ConfigError(f"--pattern is of raw sounds, but {place} is a dataset; leave it out")
        return Given(place, None, wanted.target)
    return Given(out, look(place, wanted), wanted.target)


def placed(given: Given) -> Given:
    """Return data of which nobody said where to: raw ones leave other datasets as they are."""
    if given.raw is None:
        return given
    assert isinstance(given.place, Path)
    return replace(given, place=place_beside(given.raw, given.place))


def target_facts(given: Given, *, looks: bool, force: bool, say: Say) -> Facts:
    """Return the facts of the target domain, sharded first where it is raw. `looks`: whether all
    its labels may be looked at. Raises as `sharded` and `facts_of`."""
    if given.raw is not None:
        assert isinstance(given.place, Path)
        sharded(given.raw, given.place, force=force, say=say)
    return facts_of(given.place, given.column, tested=True, looks=looks)


def as_source(given: Given) -> Given:
    """Return data of a source domain as they are sharded: all rows to learn from."""
    if given.raw is None:
        return given
    options = {name: value for name, value in given.raw.options.items() if name != "test"}
    return replace(given, raw=replace(given.raw, options=options))


def with_classes(given: Given, other: Facts) -> Given:
    """Return data that are sharded with the classes of the other domain."""
    if given.raw is None:
        return given
    options = given.raw.options | class_option(given.raw, other.classes)
    return replace(given, raw=replace(given.raw, options=options))


def lacks_labels(given: Given) -> bool:
    """Whether data are raw, and rows lack what is learnt."""
    return given.raw is not None and "unlabelled" in given.raw.options


def source_facts(given: Given, *, force: bool, say: Say) -> Facts:
    """Return the facts of the source domain, sharded first where it is raw. Raises as `sharded` and
    `facts_of`."""
    if given.raw is not None:
        assert isinstance(given.place, Path)
        sharded(given.raw, given.place, force=force, say=say)
    return facts_of(given.place, given.column, tested=False)


def check_alike(source: Facts, target: Facts) -> None:
    """Raise DataError where the source domain has other classes than the target, another task, or
    no column of a kind that the target has."""
    kinds = {column.kind for column in target.inputs.values()}
    if not kinds & {column.kind for column in source.inputs.values()}:
        told = ", ".join(f"{name} ({column.kind})" for name, column in source.inputs.items())
        raise DataError(
            f"--source {source.place}: has {told}, but the target has "
            + ", ".join(f"{name} ({column.kind})" for name, column in target.inputs.items())
            + "; give a source domain with such a column"
        )
    if source.task != target.task:
        raise DataError(
            f"--source {source.place}: asks for {source.task}, but the target for {target.task}; "
            "give a source domain that asks for the same"
        )
    if source.classes != target.classes:
        raise DataError(
            f"--source {source.place}: its classes are {_listed(source.classes)}, but the target's "
            f"{_listed(target.classes)}; both must have the same in the same order (raytl shard "
            "--classes names them)"
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
