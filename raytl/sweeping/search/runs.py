"""A trial as the search knows it, while it runs and afterwards."""

from dataclasses import dataclass, field

from raytl.config import Study, TrialConfig
from raytl.seeds import seed_for
from raytl.sweeping.kept.records import Config, Metrics, Record, Status
from raytl.sweeping.search.halving import Ladder


@dataclass
class Run:
    """`place`: on the `ladder` that stops it early. `budget`: epochs of a whole trial."""

    config: Config
    ladder: Ladder
    place: int
    budget: int
    curve: list[Metrics] = field(default_factory=list)
    error: str | None = None  # its own
    sure: bool = True  # the error would come again anywhere
    ended: bool = False

    @property
    def name(self) -> str:
        """The trial's folder."""
        return str(self.config["name"])

    @property
    def cut(self) -> int | None:
        """After which epoch it is stopped early, as far as that is known."""
        return self.ladder.cut(self.place)

    @property
    def settled(self) -> bool:
        """Whether it is known what counts of it."""
        return self.ladder.settled(self.place)

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return len(self.curve) >= self.budget or self.error is not None or self.cut is not None

    @property
    def waits(self) -> bool:
        """Whether a decision within its curve is still to be taken."""
        rung = self.ladder.undecided(self.place)
        return rung is not None and rung <= len(self.curve)

    def add(self, metrics: Metrics, value: float) -> None:
        """Note an epoch, and its objective; more is better."""
        self.curve.append(metrics)
        self.ladder.report(self.place, metrics["epoch"], value)

    def end(self) -> None:
        """Note that nothing more comes of it."""
        self.ended = True
        self.ladder.end(self.place)

    def record(self) -> Record:
        """Return what counts of it, as far as that is known."""
        if self.cut is not None:
            return Record(self.config, tuple(self.curve[: self.cut]), "stopped early")
        whole = len(self.curve) >= self.budget
        status: Status = "failed" if self.error else "completed" if whole else "unfinished"
        return Record(self.config, tuple(self.curve), status, self.error)


def suggestion(
    study: Study,
    name: str,
    id_: str,
    trial: TrialConfig,
    *,
    control: str | None = None,
    searched: list[str] | None = None,
) -> Config:
    """Return a trial of the search as it is suggested.

    {"name", "id", "phase", "control", "searched", "seed", "rows_seed", "trial", "micro_batches"}:
    the trial's folder; how a person calls it; "search" (or "confirm": see `selection.retrainings`);
    the control's name or None; the keys that were searched; the trial's seed (the same for all of
    the search, so that they differ by their configuration alone); the seed of its rows, or None for
    the study's; the flat `TrialConfig`; into how many parts a batch is cut; and, where it may be
    trained with others, "fused" (see `fusing.grouped`).
    """
    return {
        "name": name,
        "id": id_,
        "phase": "search",
        "control": control,
        "searched": searched or [],
        "seed": seed_for(study.search.seed, "trial"),
        "rows_seed": None,
        "trial": trial.flat(),
        "micro_batches": study.train.accumulation_steps,
    }
