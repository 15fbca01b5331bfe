"""Ray and Tune, started and told what the search says."""

import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.faults import MOST_FAULTS, surviving_faults
from raytl.sweeping.on_ray.resources import Plan
from raytl.sweeping.on_ray.trainable import APART, ERROR, METRICS, build_trainable
from raytl.sweeping.search.searcher import StudySearch

REACH_S = 10.0  # for a cluster's address to answer; Ray itself would try for minutes


class Watcher(Protocol):
    """Who tells a person what happens besides results."""

    def look(self) -> None:
        """Called again and again while trials run."""
        ...

    def recovered(self, name: str) -> None:
        """A trial goes on after its process or node was lost."""
        ...


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster of a session. `grows`: it is one that this process has joined, whose
    autoscaler may bring nodes."""

    grows: bool

    def nodes(self) -> list[dict[str, float]]:
        """Return what each node has now, used or not, by Ray's names."""
        return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]

    def request(self, bundles: list[dict[str, float]]) -> None:
        """Ask the autoscaler for room for these bundles at once, and for nothing else."""
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[Cluster]:
    """Yield the cluster. Joins the one that is there (initialised in this process, or at `address`,
    or named by RAY_ADDRESS as `ray job submit` does); else starts a local one and stops it.

    Raises RaytlError where there is none at the address.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # A trial's traceback goes to its folder's error.txt; progress says the cause in a line.
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    if ray.is_initialized():
        yield Cluster(grows=False)
        return
    address = address or os.environ.get("RAY_ADDRESS", "local")
    local = address == "local"
    try:
        _reach(address)
        ray.init(
            address=address,
            include_dashboard=False if local else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (OSError, ValueError) as error:
        raise RaytlError(
            f"no cluster at {address}: {error}; look at `ray status`, the address and the token"
        ) from error
    try:
        yield Cluster(grows=not local)
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError or ValueError where nothing listens at HOST:PORT."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()


def run_trials(
    study: Study,
    storage: RunStorage,
    search: StudySearch,
    plan: Plan,
    watcher: Watcher,
) -> None:
    """Train what `search` suggests, at most `plan.concurrent` trials at once, until it is finished,
    stopped or interrupted.

    Tune runs the trials and starts them again after faults; what it writes itself is of no use to
    anybody later and goes. Raises RaytlError where Tune fails, or where memory refuses a trial.
    """
    bridge = Bridge(search, watcher, plan.concurrent)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="raytl-tune-") as own,
            surviving_faults(),
            _saying_nothing_twice(),
        ):
            tune.run(
                build_trainable(study, storage),
                name=storage.run.name,
                storage_path=own,
                search_alg=_Suggests(bridge),
                scheduler=_Judges(bridge),
                stop=_Stops(bridge),
                callbacks=[_Watches(bridge)],
                num_samples=-1,
                trial_dirname_creator=lambda trial: trial.config["name"],
                reuse_actors=True,
                max_failures=MOST_FAULTS,
                raise_on_failed_trial=False,
                verbose=0,
            )
    except OSError as error:
        reason = error.strerror or error
        raise RaytlError(f"{storage.path}: cannot write the run: {reason}") from error
    if bridge.refused is not None:
        raise bridge.refused


@contextlib.contextmanager
def _saying_nothing_twice() -> Iterator[None]:
    """Leave out Tune's last lines: failed trials by names that nobody else uses, files of its own
    that nobody reads, and how to resume without raytl."""
    loggers = [logging.getLogger(f"ray.tune.{name}") for name in ("tune", "analysis")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Bridge:
    """What Tune's searcher, scheduler, stopper and callback share."""

    def __init__(self, search: StudySearch, watcher: Watcher, slots: int) -> None:
        self.search, self.watcher, self.slots = search, watcher, slots
        self.refused: RaytlError | None = None  # why the search cannot be gone on with
        self.causes: dict[str, str] = {}  # trial → why machines could not train it

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what it is given, for a restart that never comes

    @property
    def over(self) -> bool:
        return self.refused is not None or self.search.stopped is not None or self.search.finished

    def suggest(self) -> dict[str, Any] | None:
        if self.search.running >= self.slots:
            return None
        try:
            return self.search.suggest()
        except RaytlError as error:  # Tune would wrap it
            self.refused = error
            return None


class _Suggests(Searcher):
    """Tune's searcher."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        config = self._bridge.suggest()
        if config is None:
            return Searcher.FINISHED if self._bridge.over else None
        self._names[trial_id] = config["name"]
        return config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        name = self._names[trial_id]
        cause = self._bridge.causes.get(name, "its process was lost again and again")
        self._bridge.search.end(name, lost=cause if error else None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing of Tune's is resumed: the search is done again from the trials' records."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class _Judges(FIFOScheduler):
    """Tune's scheduler: sees every result before anybody else does."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        name, search = trial.config["name"], self._bridge.search
        if ERROR in result:
            search.fail(name, result[ERROR])
            return str(TrialScheduler.CONTINUE)
        if APART in result:
            search.take_apart(result[APART])
            return str(TrialScheduler.CONTINUE)
        stays = search.report(name, json.loads(result[METRICS]))
        return str(TrialScheduler.CONTINUE if stays else TrialScheduler.STOP)


class _Stops(Stopper):
    """Ends all trials where the study cannot go on. They lose nothing: it can be resumed."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.refused is not None or self._bridge.search.stopped is not None


class _Watches(Callback):
    """Passes on to a person what happens besides results."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        self._bridge.watcher.look()

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._bridge.watcher.recovered(trial.config["name"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        file = trial.error_file
        lines = Path(file).read_text(errors="replace").strip().splitlines() if file else []
        if lines:
            self._bridge.causes[trial.config["name"]] = lines[-1]
