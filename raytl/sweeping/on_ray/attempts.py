"""The attempts at a study's trials: which is made next, and what comes of one that ended."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from raytl.errors import RaytlError
from raytl.sweeping.kept.records import Config, Metrics
from raytl.sweeping.on_ray.faults import Failure
from raytl.sweeping.on_ray.retries import Retries
from raytl.sweeping.search.searcher import StudySearch

LOST = "its process was lost"
CHECK_S = 1.0  # how often it is asked whether the study may go on


@dataclass(frozen=True)
class Going:
    """An attempt that is being made, or waits. `since`: when its process began with it; `due`: when
    a trial is tried again. Without both it waits for room. Times are those of `time.monotonic`."""

    config: Config
    since: float | None = None
    due: float | None = None


class Watcher(Protocol):
    """Who tells a person what happens besides results."""

    def look(self, going: Sequence[Going]) -> None:
        """Called again and again while trials run, with those that do or wait."""
        ...

    def recovered(self, name: str, cause: str | None) -> None:
        """A trial goes on after its process or node was lost, or after what the cause says."""
        ...

    def avoided(self, node: str) -> None:
        """Trials stay away from a node for a while."""
        ...


@dataclass(frozen=True)
class _Waiting:
    config: Config
    due: float


class Attempts:
    """Between the search, which knows trials, and Tune, which makes attempts at them."""

    def __init__(
        self,
        search: StudySearch,
        retries: Retries,
        watcher: Watcher,
        slots: int,
        check: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`slots`: attempts at once. `check`: raises RaytlError where the study must not go on."""
        self._search, self._retries, self._watcher = search, retries, watcher
        self._slots, self._check, self._now = slots, check, now
        # Why the search cannot be gone on with: it was refused, or the run cannot be written
        self.refused: RaytlError | OSError | None = None
        self.away: tuple[str, ...] = ()  # nodes that all trials stay away from, when last asked
        self._checked = now()
        self._configs: dict[str, Config] = {}  # of attempts that are made
        self._waiting: list[_Waiting] = []
        self._nodes: dict[str, str | None] = {}  # trial → where it runs
        self._since: dict[str, float] = {}  # trial → when its process began with it
        self._epochs: dict[str, int] = {}  # trial → how many it has ever trained
        self._failures: dict[str, Failure] = {}
        self._causes: dict[str, str] = {}  # trial → how its process was lost

    @property
    def must_stop(self) -> bool:
        """Whether all attempts must end now."""
        return self.refused is not None or self._search.stopped is not None

    @property
    def over(self) -> bool:
        """Whether no attempt will be made any more."""
        return self.must_stop or self._search.finished

    @property
    def going(self) -> list[Going]:
        """What is trained or waits, in the order in which it was begun."""
        made = [Going(of, self._since.get(name)) for name, of in self._configs.items()]
        return made + [Going(waiting.config, due=waiting.due) for waiting in self._waiting]

    def look(self) -> None:
        """Look what happens besides attempts."""
        self._watcher.look(self.going)
        self._look_whether_it_may_go_on()

    def _look_whether_it_may_go_on(self) -> None:
        if self.refused is None and self._now() - self._checked > CHECK_S:
            self._checked = self._now()
            try:
                self._check()
            except RaytlError as error:
                self.refused = error

    def suggest(self) -> tuple[Config, tuple[str, ...]] | None:
        """Return the next trial to attempt, and the nodes that it stays away from."""
        self._look_whether_it_may_go_on()  # Tune may ask for minutes before it looks
        if self.must_stop or self._search.running - len(self._waiting) >= self._slots:
            return None
        config = self._due() or self._suggested()
        if config is None:
            return None
        self._configs[config["name"]] = config
        self.away = self._retries.avoided("")
        return config, self._retries.avoided(config["name"])

    def _due(self) -> Config | None:
        for place, waiting in enumerate(self._waiting):
            if waiting.due <= self._now():
                return self._waiting.pop(place).config
        return None

    def _suggested(self) -> Config | None:
        with self._heeding_refusals():
            return self._search.suggest()
        return None

    @contextlib.contextmanager
    def _heeding_refusals(self) -> Iterator[None]:
        """End the study where the search raises: Tune would wrap it, or take it for a trial's."""
        try:
            yield
        except (RaytlError, OSError) as error:
            self.refused = self.refused or error

    def started(self, name: str, node: str | None) -> None:
        """Note on which node an attempt has started."""
        self._nodes[name] = node
        self._since[name] = self._now()

    def reported(self, name: str, metrics: Metrics) -> bool:
        """Take an epoch's metrics; return whether the trial trains on."""
        if metrics["epoch"] > self._epochs.get(name, 0):
            self._epochs[name] = metrics["epoch"]
            self._retries.got_further(name, self._nodes.get(name))
        with self._heeding_refusals():
            return self._search.report(name, metrics)
        return False

    def take_apart(self, group: str) -> None:
        """Note that the trials of a group do not train together after all."""
        self._search.take_apart(group)

    def failed(self, name: str, failure: Failure) -> None:
        """Note what an attempt says of why it ends."""
        self._failures[name] = failure

    def lost(self, name: str, cause: str | None) -> None:
        """Note that an attempt's process was lost, or has raised what it said."""
        self._causes[name] = cause or LOST

    def recovered(self, name: str) -> None:
        """Note that Tune makes an attempt again."""
        self._watcher.recovered(name, None)

    def ended(self, name: str, *, lost: bool) -> None:
        """Take the end of an attempt: the trial's, or one after which it is tried again."""
        with self._heeding_refusals():
            self._take_end(name, lost)

    def _take_end(self, name: str, lost: bool) -> None:
        config, node = self._configs.pop(name), self._nodes.pop(name, None)
        self._since.pop(name, None)
        cause, failure = self._causes.pop(name, LOST), self._failures.pop(name, None)
        told = failure is not None
        if failure is None and lost:
            failure = Failure("machine", cause, name="lost", node=node)
        if failure is None or self.must_stop or self._search.is_over(name):
            self._search.end(name)
            return
        verdict = self._retries.judge(name, failure)
        if verdict.then == "own":
            self._search.fail(name, failure.text, sure=verdict.sure)
            self._search.end(name)
        elif verdict.then == "given up":
            self._search.end(name, lost=failure.text)
        else:
            self._waiting.append(_Waiting(config, self._now() + verdict.delay))
            self._watcher.recovered(name, failure.text if told else None)
            for away in self._retries.newly_away():
                self._watcher.avoided(away)
