"""What `raytl new` is asked, and which data these are; what is wrong with that is said before torch
is loaded."""

from dataclasses import dataclass
from pathlib import Path

from raytl.errors import ConfigError, UserError
from raytl.files import check_writable
from raytl.folders import check_place
from raytl.starting.datasets import Given, given_data, plain_name
from raytl.starting.raw import Wanted
from raytl.starting.sharding import is_dataset

Labels = int | str  # N of a class, none or all


@dataclass(frozen=True)
class Asked:
    """What `raytl new` is asked. `data` and `source`: a dataset of raytl's or raw data; `models`:
    files and folders of source models; `place`: where raw data come to be a dataset."""

    data: str
    out: Path | None = None
    minutes: float = 30.0
    labels: Labels = "all"
    source: str | None = None
    models: tuple[Path, ...] = ()
    place: Path | None = None
    target: str | None = None
    pattern: str | None = None
    force: bool = False

    @property
    def file(self) -> Path:
        """The study file."""
        return self.out or Path(f"{plain_name(self.data)}.yaml")


def data_of(asked: Asked) -> tuple[Given, Given | None]:
    """Return what the target's and the source domain's data are, before any is sharded.

    Raises UserError where a file stands where the study is to be written, ConfigError for what is
    asked that cannot be, and what `look` raises.
    """
    _check(asked, asked.file)
    place = asked.place or _usual_place(asked.data)
    target = given_data(
        asked.data, place, Wanted(asked.target, asked.pattern, asked.labels == "none")
    )
    source = None
    if asked.source is not None:
        beside = (
            place.parent / plain_name(asked.source) if asked.place else _usual_place(asked.source)
        )
        # Of raw data the columns are called alike; of datasets each has its own
        wanted = asked.target
        if wanted is None and target.raw is not None:
            wanted = target.raw.options.get("target")
        source = given_data(asked.source, beside, Wanted(wanted, asked.pattern))
        if source.place == target.place and (asked.place or asked.source == asked.data):
            raise ConfigError(
                f"--source: its dataset would be {source.place}, which is the target's; give other "
                "data, or shard one of them by hand under another name"
            )
    for one in (target, source):
        if one is not None and one.raw is not None and isinstance(one.place, Path):
            check_place(one.place)
    return target, source


def _check(asked: Asked, out: Path) -> None:
    data = (Path(given) for given in (asked.data, asked.source) if given is not None)
    check_writable(out, [path for path in data if path.is_file()])
    if out.exists() and not asked.force:
        raise UserError(f"{out}: exists already; give another --out, or replace it with --force")
    if not 0 < asked.minutes < float("inf"):
        raise ConfigError(f"--minutes > 0 must hold, got {asked.minutes:g}")
    _check_labels(asked)


def _check_labels(asked: Asked) -> None:
    counted = isinstance(asked.labels, int) and not isinstance(asked.labels, bool)
    if not counted and asked.labels not in ("all", "none"):
        raise ConfigError(
            f"--labels must be all, none, or a number of labels a class, got {asked.labels}"
        )
    if asked.labels == "none" and asked.source is None:
        raise ConfigError(
            "--labels none leaves no label to learn from; give a labelled source domain with "
            "--source DATA2"
        )
    if isinstance(asked.labels, int) and asked.labels < 2:
        raise ConfigError(
            f"--labels >= 2 must hold, one of a class to learn from and one to be selected by, got "
            f"{asked.labels}"
        )


def _usual_place(data: str) -> Path:
    """Return data/NAME, or beside it where something else than a dataset stands there: the raw data
    themselves, say."""
    place = Path("data") / plain_name(data)
    free = not place.exists() or is_dataset(place)
    return place if free else place.with_name(f"{place.name}_shards")
