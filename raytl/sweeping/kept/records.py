"""What became of each trial, kept in its folder: `record.json`, once nothing more comes of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from raytl.config import Study
from raytl.errors import CorruptError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import Metrics

FILE_NAME = "record.json"
Config = dict[str, Any]  # of a trial, as the searcher suggests it
Status = Literal["completed", "stopped early", "failed", "unfinished"]
# What a record must agree in with the trial that it is taken for.
IDENTITY = ("trial", "seed", "rows_seed", "micro_batches")
TRAINED_ON = "trained_on"  # of a checkpoint's trial: the workers and threads of each attempt at it


def workers_of(study: Study) -> str:
    """Return how many workers and threads train a trial: its last digits hang on them."""
    return f"{study.resources.workers} × {study.resources.cpus_per_worker}"


@dataclass(frozen=True)
class Record:
    """A trial as far as it counts: its metrics after each epoch, and its own error, if it failed.

    `status`: what is known so far; a trial that ran to its end may be found to be stopped early.
    """

    config: Config
    curve: Sequence[Metrics] = ()
    status: Status = "unfinished"
    error: str | None = None

    @property
    def name(self) -> str:
        """The trial's folder."""
        return str(self.config["name"])

    @property
    def last(self) -> Metrics:
        """The metrics of the last epoch; empty before the first."""
        return self.curve[-1] if self.curve else {}

    @property
    def whole(self) -> bool:
        """Whether it ended well after its whole budget."""
        return self.status == "completed"


@dataclass(frozen=True)
class Trained:
    """What was trained of a trial, whatever counts of it. `sure`: the error would come again
    anywhere; where that is not known, the trial is tried again when the run is resumed. `redone`:
    it was, and did otherwise, so that others may be suggested after it than have been."""

    config: Config
    curve: Sequence[Metrics]
    error: str | None = None
    sure: bool = True
    redone: bool = field(default=False, compare=False)  # what was trained is the same

    @property
    def doubted(self) -> bool:
        """Whether it failed, but may not do so again."""
        return self.error is not None and not self.sure

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self) | {"curve": list(self.curve)})

    @classmethod
    def parse(cls, text: str, place: str) -> "Trained":
        """Return what `dump` wrote. Raises CorruptError, with the `place`, where it is cut off."""
        try:
            content = json.loads(text)
            error = content["error"]
            sure = bool(content.get("sure", error is None))  # what is old was looked at once
            redone = bool(content.get("redone", False))
            curve = [dict(metrics) for metrics in content["curve"]]
            return cls(dict(content["config"]), curve, error, sure, redone)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"{place}: is no whole record of a trial ({error!r:.100})") from None


def write_record(storage: RunStorage, trained: Trained) -> None:
    """Keep what was trained in the trial's folder."""
    storage.write_both(f"{trained.config['name']}/{FILE_NAME}", trained.dump())


def read_record(storage: RunStorage, name: str) -> Trained | None:
    """Return what was trained of the trial in the folder `name`; None where nothing whole is kept:
    it is trained again."""
    text = storage.read_nearest(f"{name}/{FILE_NAME}")
    if text is None:
        return None
    try:
        return Trained.parse(text, f"{storage.path}/{name}/{FILE_NAME}")
    except CorruptError:
        return None
